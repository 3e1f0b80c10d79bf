"""A model that compares two images with one tower: several inputs, and a part that is used at two places."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import raynas
from raynas import Arguments, Choice, ModelSpace, SearchSpace, TensorSpec
from raynas.core.architecture import Option
from raynas.core.inputs import InputSpec
from raynas.data import loaders
from raynas.metrics import untrained_metrics
from raynas.metrics.expected_cost import fit_cost_table
from raynas.metrics.table import read_goal
from raynas.nn import ElasticConv2d, ElasticLinear, Size, inherit_architecture
from raynas.strategies import RandomSearch
from raynas.testing import SpaceContract
from raynas.testing.in_process import run_trials
from raynas.trials import Function, Training, ZeroCost


class Tower(nn.Module):
    """Elastic in its width; the linear layer takes what reaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = ElasticConv2d(1, Size((2, 4)), 3)
        self.act = Choice({"relu": nn.ReLU, "silu": nn.SiLU})
        self.out = ElasticLinear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.act(self.conv(x)).mean((2, 3)))
        return out


class Twins(nn.Module):
    """Tells if two images are of one kind."""

    def __init__(self) -> None:
        super().__init__()
        self.left = self.right = Tower()
        self.same = nn.Linear(5, 2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        out: Tensor = self.same((self.left(left) - self.right(right)).abs())
        return out


class OneArgument(Twins):
    def forward(self, pair: Mapping[str, Tensor], *, scale: float = 1.0) -> Tensor:  # type: ignore[override]
        return super().forward(pair["left"], pair["right"] * scale)


IMAGE = TensorSpec((1, 6, 6))
ARCH: Mapping[str, Option] = {"left.conv.out_channels": 4, "left.act": "relu"}
SPECS: dict[str, tuple[type[nn.Module], InputSpec]] = {
    "positional": (Twins, (IMAGE, IMAGE)),
    "by name": (Twins, {"left": IMAGE, "right": IMAGE}),
    "mixed": (Twins, Arguments((IMAGE,), {"right": IMAGE})),
    "one dict": (OneArgument, Arguments(({"left": IMAGE, "right": IMAGE},), {"scale": 0.5})),
    "examples": (Twins, (torch.rand(3, 1, 6, 6), torch.rand(3, 1, 6, 6))),
    "a function": (Twins, lambda n: {"right": torch.rand(n, 1, 6, 6), "left": torch.rand(n, 1, 6, 6)}),
}
SPACE = ModelSpace(*SPECS["positional"][:1], inputs=SPECS["positional"][1])


class TestTwins(SpaceContract):
    @pytest.fixture(params=["positional", "one dict"])
    def space(self, request: pytest.FixtureRequest) -> SearchSpace:
        model, inputs = SPECS[request.param]
        return ModelSpace(model, inputs=inputs)


@pytest.mark.parametrize("name", SPECS)
def test_every_way_to_call_a_model_is_searched(name: str, tmp_path: Path) -> None:
    model, inputs = SPECS[name]
    space = ModelSpace(model, inputs=inputs)
    space.check()
    macs = untrained_metrics(space, ["macs"])["macs"]
    expected = 2 * (36 * 9 * 4 + 4 * 5 + 5) + 5 * 2 + 2
    assert macs(space.canonical(ARCH)) == expected, "the tower counts for each call"
    searcher = RandomSearch().searcher(space, read_goal("accuracy", "latency_ms <= 1e6"), seed=0)
    scored = Function(fn=lambda network, config: float(space.example(2).call(network).detach().sigmoid().mean()))
    run_trials(searcher, scored.runner(space, ["accuracy", "latency_ms"]).run, 3)
    assert [e.error for e in searcher.archive.evaluations] == ["", "", ""]
    raynas.draw(space, ARCH, tmp_path / "twins.svg")


class SameOrNot(Dataset[object]):
    def __len__(self) -> int:
        return 24

    def __getitem__(self, i: int) -> object:
        generator = torch.Generator().manual_seed(i)
        left = torch.rand((1, 6, 6), generator=generator)
        return (left, 0.9 * left if i % 2 else 1 - left), i % 2


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> str:
    module = ModuleType("my_pairs")
    module.pairs = lambda: (SameOrNot(), SameOrNot())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_pairs", module)
    loaders._parts.cache_clear()
    return "my_pairs:pairs"


def test_training_on_pairs_and_scores_without(data: str) -> None:
    result = Training(data=data, epochs=1, warmup_epochs=0, batch_size=8).evaluate(SPACE, ARCH, metrics=["latency_ms"])
    assert result["error"] == "" and result["loss"] > 0 < result["latency_ms"]
    scores = ZeroCost(data=data, batch_size=8, proxies=["synflow", "zen", "jacob_cov"]).evaluate(SPACE, ARCH)
    assert scores["error"] == "" and scores["jacob_cov"] < 0
    assert scores["synflow"] == 0, "for two equal inputs, which it has by definition, the towers cancel out"


def test_expected_costs_and_inheritance() -> None:
    table = fit_cost_table(SPACE, "params")
    assert table.of({"left.conv.out_channels": 1, "left.act": 0}) == pytest.approx(4 * 9 + 4 * 5 + 5 + 12)
    torch.manual_seed(0)
    narrow = {**ARCH, "left.conv.out_channels": 2}
    parent = SPACE.build(narrow)
    child = inherit_architecture(SPACE, narrow, parent, ARCH)
    assert child.left is child.right
    assert torch.equal(child.get_parameter("same.weight"), parent.get_parameter("same.weight"))
