"""Shared weights of a given model, trained to predict what it predicts, whatever it takes and gives."""

import dataclasses
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import raynas
from raynas.converting import ConvertedSpace, Depth, Kernel, Resolution, Width
from raynas.converting.options import Range
from raynas.core.inputs import TensorSpec
from raynas.data import loaders
from raynas.errors import RaynasError
from raynas.metrics import read_goal
from raynas.nn import Supernet
from raynas.oneshot import Enas, Fair, OneShot, ProgressiveShrinking, Sandwich, SinglePath
from raynas.oneshot.differentiable import PRESETS
from raynas.trials import Distillation, Subnet, SupernetDistillation, TrainedSupernet, TrialRunner
from raynas.trials.checkpoint import CHECKPOINT_KEY
from raynas.trials.distilled import Distilled, Teacher
from raynas.trials.output_kinds import OUTPUT_KINDS
from raynas.trials.supernet.training import SupernetTrial
from raynas.trials.supernet.writing import write_supernet

METHODS = [Sandwich(n_random=1), ProgressiveShrinking(), SinglePath(), Fair()]
CPU = torch.device("cpu")


class Tagger(nn.Module):
    """A class for each token, after blocks that can be left out, in a mapping as libraries return it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(20, 16), nn.Linear(16, 7)
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 24), nn.ReLU()) for _ in range(2))
        self.back = nn.ModuleList(nn.Linear(24, 16) for _ in range(2))

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        x = self.embedding(ids) * mask[..., None]
        for block, back in zip(self.blocks, self.back, strict=True):
            x = x + back(block(x))
        return {"logits": self.head(x)}


class Row(nn.Module):
    """Two real numbers for each row of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 2))

    def forward(self, row: Tensor) -> tuple[Tensor, str]:
        return self.net(row), "aside"


class Wave(nn.Module):
    """Probabilities of events for a signal."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv1d(1, 16, 5), nn.BatchNorm1d(16), nn.ReLU(), nn.AdaptiveAvgPool1d(1))
        self.head = nn.Linear(16, 3)

    def forward(self, wave: Tensor) -> Tensor:
        out: Tensor = self.head(self.net(wave[:, None]).flatten(1)).sigmoid()
        return out


def tagger() -> tuple[ConvertedSpace, list[Any]]:
    ids, mask = torch.randint(20, (48, 6)), torch.ones(48, 6)
    inputs = {"ids": TensorSpec((6,), torch.long, high=20), "mask": TensorSpec((6,), high=1)}
    example = {"ids": ids[:2], "mask": mask[:2]}
    space = raynas.convert(Tagger(), example, inputs=inputs, divisor=4, vary={"blocks.*": Width(0.5, 1.0)})
    return space, [{"ids": i, "mask": m} for i, m in zip(ids.split(16), mask.split(16), strict=True)]


def row() -> tuple[ConvertedSpace, list[Any]]:
    rows = torch.randn(48, 5)
    return raynas.convert(Row(), rows[:2]), [(part, part[:, :2]) for part in rows.split(16)]


def wave() -> tuple[ConvertedSpace, list[Any]]:
    waves = torch.randn(48, 64)
    return raynas.convert(Wave(), waves[:2]), [[part] for part in waves.split(16)]


GIVEN = {"classes": tagger, "values": row, "probabilities": wave}


@pytest.fixture(params=GIVEN)
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[ConvertedSpace, dict[str, str]]:
    """Return the space of a model, and the settings of its data and outputs."""
    torch.manual_seed(0)
    space, batches = GIVEN[request.param]()
    module = ModuleType("own_batches")
    module.make = lambda: (batches, batches[:2])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_batches", module)
    loaders._parts.cache_clear()
    return space, {"data": "own_batches:make", "outputs": request.param}


def begun(
    space: ConvertedSpace, settings: SupernetDistillation, checkpoint: Path | None = None
) -> TrialRunner[SupernetTrial]:
    runner = settings.runner(space)
    runner.raises = True
    config = {"arch": {"method": type(settings.method).__name__}}
    runner.begin({**config, CHECKPOINT_KEY: str(checkpoint)} if checkpoint else config)
    return runner


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_methods_train_any_outputs(
    case: tuple[ConvertedSpace, dict[str, Any]], method: OneShot, tmp_path: Path
) -> None:
    """And subnets are scored by the same task."""
    space, given = case
    settings = SupernetDistillation(**given, method=method, epochs=2, warmup_epochs=0, label_weight=0.0)
    runner = begun(space, settings)
    first, second = runner.step(), runner.step()
    assert 0 <= second["divergence"] < 100 and first["train_loss"] != second["train_loss"]
    trained = write_supernet(tmp_path, settings.fitted(space)[0], settings, runner.trial.state())
    scoring = Subnet(supernet=trained, data=given["data"])
    assert scoring.task == Distillation(outputs=given["outputs"]) and "divergence" in (scoring.reports or ())
    result = scoring.evaluate(space, space.smallest, metrics=["divergence", "macs"])
    assert result["error"] == "" and result["divergence"] > 0 and result["macs"] > 0
    assert math.isnan(result["accuracy"]), "there are no labels"


def test_a_fresh_supernet_has_the_given_weights(case: tuple[ConvertedSpace, dict[str, Any]]) -> None:
    space, given = case
    settings = SupernetDistillation(**given)
    fitted, source = settings.fitted(space)
    supernet = settings.trainer(fitted, source, CPU).learner.supernet
    for name, tensor in space.given.state_dict().items():
        assert torch.equal(supernet.state_dict()[f"net.shared.{name}"], tensor)
    inputs, *_ = next(iter(source.batches(batch_size=16, augment="none", device=CPU).train(0)))
    task = settings.shared_task(space, source, CPU)
    for arch in (space.largest, space.smallest):
        member, extracted = space.build(arch).eval(), supernet.extract(arch).eval()
        assert torch.allclose(task.outputs(member, inputs), task.outputs(extracted, inputs), atol=1e-6)


def test_resumed_training_equals_one_that_was_not_interrupted(
    case: tuple[ConvertedSpace, dict[str, Any]], tmp_path: Path
) -> None:
    space, given = case
    settings = SupernetDistillation(**given, epochs=2, warmup_epochs=0)
    whole = begun(space, settings)
    whole.step()
    whole.save(tmp_path / "one")
    expected = whole.step()
    again = begun(space, settings, tmp_path / "one").step()
    assert again["divergence"] == expected["divergence"] and again["train_loss"] == expected["train_loss"]


def test_in_place_the_others_learn_from_the_largest_and_that_from_the_teacher() -> None:
    """Gradients of the others do not change with the teacher's outputs."""
    torch.manual_seed(0)
    space, _ = row()
    task = Distilled(Teacher(space.given, CPU), OUTPUT_KINDS["values"])
    rows, own = torch.randn(16, 5), torch.randn(16, 2)
    assert float(task.imitation(own, own, task.targets(rows, None))) == 0
    assert float(task.imitation(own, own + 1, task.targets(rows, None))) == pytest.approx(1)
    assert float(task.loss(own, task.targets(rows, None))) > 0
    # Tokens that do not count, count neither here.
    words, ids = Distilled(Teacher(space.given, CPU), OUTPUT_KINDS["classes"]), torch.tensor([-100, 1])
    taught = dataclasses.replace(words.targets(rows, None), labels=ids, outputs=torch.zeros(2, 3))
    student, other = torch.randn(2, 3), torch.randn(2, 3)
    alone = words.imitation(student[1:], other[1:], dataclasses.replace(taught, labels=None, outputs=torch.zeros(1, 3)))
    assert torch.allclose(words.imitation(student, other, taught), alone)


@pytest.mark.parametrize("method", [Sandwich(), ProgressiveShrinking()], ids=["sandwich", "progressive"])
def test_kernels_resolutions_heads_and_depths_are_trained_too(method: OneShot) -> None:
    """All that a converted space can vary, in one model."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, dropout=0.0)
    body = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.Flatten(2), Tokens()]
    model = nn.Sequential(*body, nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), Mean(), nn.Linear(16, 10))
    vary: dict[str, Range] = {
        "0": Kernel(1, 3),
        "input": Resolution(4, 8),
        "4.layers": Depth(1, 2),
        "4.*": Width(0.5, 1.0),
    }
    space = raynas.convert(model, torch.rand(2, 1, 8, 8), vary=vary, divisor=4)
    kinds = {decision.name.rpartition(".")[2] for decision in space.decisions}
    assert {"kernel_size", "resolution", "depth", "heads"} <= kinds, kinds
    settings = SupernetDistillation(data="digits", data_fraction=0.1, epochs=2, warmup_epochs=0, method=method)
    runner = begun(space, settings)
    first, second = runner.step(), runner.step()
    assert first["error"] == second["error"] == "" and math.isfinite(second["divergence"])
    before, after = space.given.state_dict(), runner.trial.state()["learner"]["supernet"]
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[f"net.shared.{name}"])}
    assert changed >= {name for name, _ in space.given.named_parameters()}


class Tokens(nn.Module):
    """The pixels as tokens."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


class Mean(nn.Module):
    """The mean over tokens."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


def test_the_weights_of_a_given_model_are_not_set_to_zero() -> None:
    """Though its blocks are such as the sandwich rule starts at zero."""

    class Block(nn.Module):
        residual = True

        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(8, 16, 1), nn.BatchNorm2d(16), nn.Conv2d(16, 8, 1), nn.BatchNorm2d(8))

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = x + self.body(x)
            return out

    model = nn.Sequential(nn.Conv2d(1, 8, 1), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    space = raynas.convert(model, torch.rand(2, 1, 8, 8))
    settings = SupernetDistillation(data="digits", data_fraction=0.1)
    supernet = settings.trainer(*settings.fitted(space), CPU).learner.supernet
    assert isinstance(supernet, Supernet) and bool(supernet.state_dict()["net.shared.1.body.3.weight"].all())


@pytest.mark.parametrize("method", [Enas(), PRESETS["darts"]()], ids=["enas", "darts"])
def test_methods_that_need_classes_are_refused(method: OneShot) -> None:
    with pytest.raises(ValueError, match="method must train weights alone, by any targets: sandwich"):
        SupernetDistillation(method=method)


def test_hidden_states_are_refused() -> None:
    with pytest.raises(ValueError, match="features cannot be matched while weights are shared"):
        SupernetDistillation(features=["body"])


def test_a_teacher_that_has_to_be_named(tmp_path: Path) -> None:
    """A file names no code, and no other teacher than the given model."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    space, teacher = raynas.convert(model, torch.rand(2, 1, 8, 8)), nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    settings = SupernetDistillation(data="digits", data_fraction=0.2, epochs=1, warmup_epochs=0, teacher=teacher)
    runner = begun(space, settings)
    runner.step()
    trained = write_supernet(tmp_path, settings.fitted(space)[0], settings, runner.trial.state())
    with pytest.raises(RaynasError, match=r"that has to be named: Subnet\(supernet=\.\.\., distillation="):
        Subnet(supernet=str(tmp_path)).check_goal(read_goal(["divergence"]))
    told = Subnet(supernet=str(tmp_path), distillation=Distillation(teacher=teacher))
    assert told.evaluate(space, space.smallest)["divergence"] > 0
    assert told.description == Subnet(supernet=dataclasses.replace(trained, distillation=settings)).description
    assert "Sequential" in told.description and "Linear(" not in told.description


def test_a_supernet_that_classifies_has_no_teacher(tmp_path: Path) -> None:
    from tests.trials.supernet.small import written

    trained: TrainedSupernet = written(tmp_path)
    with pytest.raises(RaynasError, match="was not trained by SupernetDistillation: leave out distillation"):
        _ = Subnet(supernet=trained, distillation=Distillation()).reports
