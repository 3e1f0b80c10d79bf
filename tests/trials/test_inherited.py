"""Scores before recovery: what each means, without labels too, and the same in any process."""

import pickle
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import raynas
from raynas.converting import ConvertedSpace, Depth
from raynas.converting.shares import kept_share, l1_magnitudes
from raynas.data import loaders
from raynas.errors import SettingError, UnknownNameError
from raynas.metrics.table import INHERITED
from raynas.trials import Distillation, Inherited
from tests.trials.spaces import TinyCnn

FAST = Distillation(data="digits", epochs=2, data_fraction=0.3, warmup_epochs=0, device="cpu")


class Block(nn.Module):
    """Two layers beside a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x).relu())
        return x + y


def space(momentum: float | None = 0.1) -> ConvertedSpace:
    torch.manual_seed(0)
    body = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16, momentum=momentum), nn.ReLU(), nn.Conv2d(16, 16, 3)]
    model = nn.Sequential(*body, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    return raynas.convert(model, torch.rand(2, 1, 8, 8))


def test_the_given_model_itself_loses_nothing() -> None:
    given = space()
    result = Inherited(recovery=FAST, calibration_batches=0).evaluate(given, given.largest)
    assert not result["failed"], result["error"]
    assert result["divergence"] == pytest.approx(0, abs=1e-6) and result["agreement"] == 1
    assert result["loss_increase"] == pytest.approx(0, abs=1e-6)
    assert result["weight_share"] == result["taylor_share"] == 1
    smaller = Inherited(recovery=FAST).evaluate(given, given.smallest)
    assert smaller["divergence"] > 0 and smaller["loss_increase"] != 0
    assert 0 < smaller["taylor_share"] < 1 and 0 < smaller["weight_share"] < 1


def test_the_share_of_weights_is_that_of_the_channels_that_are_kept() -> None:
    given = space()
    arch = given.smallest
    magnitudes = l1_magnitudes(given.given)
    member = given.build(arch)
    kept = sum(float(weight.detach().abs().sum()) for weight in member.parameters() if weight.ndim > 1)
    whole = sum(float(magnitude.sum()) for magnitude in magnitudes.values())
    assert kept_share(given.plan, arch, magnitudes, by_layer=False) == pytest.approx(kept / whole, rel=1e-5)


def test_dropped_blocks_keep_nothing() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Sequential(*(Block() for _ in range(3))), nn.Linear(8, 2))
    given = raynas.convert(model, torch.rand(2, 8), vary={"0": Depth(1, 3)})
    share = kept_share(given.plan, given.smallest, l1_magnitudes(given.given), by_layer=True)
    assert list(given.smallest.values()) == [1] and share == pytest.approx(3 / 7)


def test_statistics_of_ones_own_bring_members_nearer_to_their_teacher() -> None:
    torch.manual_seed(0)
    given = space()
    recalibrated: list[float] = []
    inherited: list[float] = []
    given.given[1].running_mean.fill_(0.3)  # type: ignore[index]
    for n, found in ((0, inherited), (4, recalibrated)):
        settings = Inherited(recovery=FAST, calibration_batches=n)
        runner = settings.runner(given)
        rng = np.random.default_rng(0)
        for _ in range(3):
            found.append(runner.run({"arch": given.sample(rng).to_config()})["divergence"])
    assert inherited != recalibrated


def test_norms_that_keep_their_statistics_get_those_of_the_recovered_network() -> None:
    frozen, config = space(momentum=0.0), {"arch": space().smallest.to_config()}
    without = Distillation(**{**vars(FAST), "calibration_batches": 0}).runner(frozen).run(config)
    assert FAST.runner(frozen).run(config)["divergence"] < without["divergence"]


def test_any_outputs_without_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("own_data")
    monkeypatch.setitem(sys.modules, "own_data", module)
    loaders._parts.cache_clear()
    x = torch.rand(32, 6, generator=torch.Generator().manual_seed(0))
    module.make = lambda: (TensorDataset(x), TensorDataset(x))  # type: ignore[attr-defined]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3))
    given = raynas.convert(model, x[:2])
    for outputs in ("values", "classes", "binary"):
        recovery = Distillation(data="own_data:make", outputs=outputs, device="cpu")
        settings = Inherited(recovery=recovery)
        result = settings.runner(given, ["divergence", "synflow"]).run({"arch": given.smallest.to_config()})
        assert not result["failed"], result["error"]
        assert {*INHERITED, "synflow"} <= result.keys() and 0 < result["taylor_share"] < 1
        assert result["loss_increase"] > 0  # against the teacher's outputs, from which it can only be farther


def test_other_processes_score_alike() -> None:
    given, config = space(), {"arch": space().smallest.to_config()}
    runner = Inherited(recovery=FAST).runner(given)
    first = runner.run(config)
    second = pickle.loads(pickle.dumps(runner)).run(config)
    assert all(first[name] == second[name] for name in ("divergence", *INHERITED))


def test_spaces_that_are_made_of_no_model_have_no_shares() -> None:
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    recovery = Distillation(**{**vars(FAST), "teacher": teacher})
    result = Inherited(recovery=recovery).evaluate(TinyCnn(), TinyCnn().default)
    assert result["divergence"] > 0 and "weight_share" not in result


def test_the_network_is_that_which_was_scored() -> None:
    given, settings = space(), Inherited(recovery=FAST)
    network = settings.trained_model(given, given.smallest, None)
    tested: Any = FAST.tested(given, network)
    assert tested["divergence"] > 0 and not network.training


def test_settings_are_checked() -> None:
    with pytest.raises(SettingError, match="recovery must be the settings of a Distillation, got 3"):
        Inherited(recovery=3)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="n_batches"):
        Inherited(recovery=FAST, n_batches=-1)
    with pytest.raises(UnknownNameError, match="hyperparameter of inherited weights"):
        Inherited(recovery=FAST).check_hyperparameters(["lr"])
    assert "Distillation(" in Inherited(recovery=FAST).description
