"""Costs that are added must be those that are counted, of every member; where they are not sums, nothing is added."""

import pickle
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raynas import Architecture, ModelSpace
from raynas.core.architecture import Option
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.metrics.cost import N_COUNTED, MetaModels
from raynas.metrics.cost_sums import cost_sums
from raynas.nn import Choice, InputChoice, Repeat
from raynas.nn.elastic import Size
from raynas.nn.elastic_layers import ElasticConv2d
from raynas.search_spaces import DARTS, MLP, MobileNetV3, NASBench201, NASBenchMacro, ShuffleNet
from tests.metrics.chains import Chain, counted, space_of


def conv(kernel: int, n_out: int = 4) -> Callable[[], nn.Module]:
    return partial(nn.Conv2d, 4, n_out, kernel, padding=kernel // 2)


class Everything(nn.Module):
    """Every kind of choice, nested ones, a label in two places, and a choice that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.op = Choice({"one": conv(1), "three": conv(3), "pool": partial(nn.MaxPool2d, 3, 1, 1)}, label="op")
        self.nested = Choice({"deep": self._deep, "op": lambda: Choice({"one": conv(1), "three": conv(3)})})
        self.layers = Repeat(lambda i: Choice({"five": conv(5), "skip": nn.Identity}), 0, 3)
        self.inputs = InputChoice(3, 2, "concat", edge=lambda i: Choice({"one": conv(1), "skip": nn.Identity}))
        self.again = Choice({"one": conv(1), "three": conv(3), "pool": partial(nn.MaxPool2d, 3, 1, 1)}, label="op")
        self.head = nn.Linear(8, 2)

    @staticmethod
    def _deep() -> nn.Module:
        return nn.Sequential(Repeat(lambda i: nn.Conv2d(4, 4, 3, padding=1), 1, 2, label="depth"), nn.BatchNorm2d(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        first = self.op(self.op(x))
        second = self.nested(first)
        third = self.again(self.layers(second))
        out: torch.Tensor = self.head(self.inputs(first, second, third).mean((2, 3)))
        return out


class Looking(nn.Module):
    """Runs another layer if the choice became a certain module, which no shape tells."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Choice({"one": conv(1), "skip": nn.Identity})
        self.second = Repeat(lambda i: Choice({"one": conv(1), "three": conv(3), "five": conv(5)}), 3, 4)
        self.extra = nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(self.first(x))
        out: torch.Tensor = self.extra(x) if isinstance(self.first, nn.Identity) else x
        return out


def added(space: SearchSpace, arch: Architecture) -> tuple[int, int]:
    sums = cost_sums(space)
    assert sums is not None
    return sums.of("params", arch), sums.of("macs", arch)


def test_by_hand() -> None:
    space = space_of(lambda: Choice({"one": conv(1), "three": conv(3)}), lambda: Repeat(lambda i: conv(3)(), 0, 2))
    sums = cost_sums(space)
    assert sums is not None
    one, three = 16 + 4, 9 * 16 + 4
    for option, cost in (("one", one), ("three", three)):
        for depth in range(3):
            arch: dict[str, Option] = {"parts.0": option, "parts.1": depth}
            assert sums.of("params", arch) == cost + depth * three
            assert sums.of("macs", arch) == 36 * (cost + depth * three)  # 6 x 6 pixels, and a bias for each number


def test_every_member_of_a_model_with_every_kind_of_choice() -> None:
    space = ModelSpace(Everything, input_shape=(3, 8, 8))
    sums = cost_sums(space)
    assert sums is not None
    members = list(space.enumerate())
    rng = np.random.default_rng(0)
    for i in rng.choice(len(members), 60, replace=False):
        arch = members[i]
        assert (sums.of("params", arch), sums.of("macs", arch)) == counted(space, arch), arch


CATALOGUE = [
    NASBench201(cells=2),
    NASBenchMacro(),
    ShuffleNet(input_shape=(3, 64, 64)),
    DARTS(cells=3, channels=4, n_nodes=2),
    NASBench201(input_shape=(1, 7, 7), cells=1, affine=False),
]


@pytest.mark.parametrize("space", CATALOGUE, ids=lambda space: space.name)
def test_random_members_of_the_catalogue(space: SearchSpace) -> None:
    sums = cost_sums(space)
    assert sums is not None
    for arch in space.showcase(2, seed=1):
        assert (sums.of("params", arch), sums.of("macs", arch)) == counted(space, arch), arch


@pytest.mark.parametrize("space", [MobileNetV3(), MLP()], ids=lambda space: space.name)
def test_where_widths_depend_on_decisions_there_are_no_sums(space: SearchSpace) -> None:
    assert cost_sums(space) is None


_SHARED = nn.Conv2d(4, 4, 1)


@pytest.mark.parametrize(
    "choices",
    [
        pytest.param([lambda: Choice({"narrow": conv(1, 2), "wide": conv(1)})], id="different shapes"),
        pytest.param([lambda: Repeat(lambda i: nn.MaxPool2d(2), 1, 2)], id="a depth that halves"),
        pytest.param([lambda: ElasticConv2d(4, Size((2, 4)), 1)], id="elastic"),
        pytest.param([lambda: Choice({"lazy": lambda: Elastic(), "one": conv(1)})], id="elastic inside"),
        pytest.param([lambda: Choice({k: partial(nn.Sequential, _SHARED) for k in "ab"})], id="shared weights"),
        pytest.param([lambda: Choice({"tuple": lambda: Odd(), "other": lambda: Odd()})], id="no tensor"),
        pytest.param([lambda: Choice({"reads": lambda: Reading(), "one": conv(1)})], id="needs values"),
    ],
)
def test_what_does_not_add_up_is_not_added(choices: list[Callable[[], nn.Module]]) -> None:
    assert cost_sums(space_of(*choices)) is None


class Elastic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = ElasticConv2d(4, 4, Size((1, 3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.conv(x)
        return out


class Odd(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return {"x": x}


class Reading(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum().item() > 0 else -x


def test_a_space_that_changes_what_is_built_is_counted() -> None:
    class Doubled(ModelSpace):
        def build(self, arch: Mapping[str, Option]) -> nn.Module:
            return nn.Sequential(super().build(arch), nn.Conv2d(4, 4, 1))

    assert cost_sums(Doubled(lambda: Chain(Choice({"one": conv(1), "three": conv(3)})), input_shape=(4, 6, 6))) is None


def test_the_search_for_sums_changes_no_randomness() -> None:
    torch.manual_seed(0)
    cost_sums(CATALOGUE[0])
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(1))


# --- how they are used -----------------------------------------------------------------------------------------------


class Counting(NASBench201):
    """Counts its builds."""

    n_built = 0

    def canonical(self, arch: Mapping[str, Option]) -> Architecture:
        type(self).n_built += 1
        return super().canonical(arch)


def test_adding_replaces_counting_once_it_has_been_compared() -> None:
    Counting.n_built = 0
    space = Counting(cells=1)
    models, rng = MetaModels(space), np.random.default_rng(0)
    archs = list(dict.fromkeys(space.sample(rng) for _ in range(4 * N_COUNTED)))
    costs = {arch: (models.params(arch), models.macs(arch)) for arch in archs}
    assert models.is_cheap("params") and models.is_cheap("macs")
    assert Counting.n_built == N_COUNTED
    for arch in archs[-3:]:
        assert costs[arch] == counted(space, arch)
    with pytest.raises(SpaceError, match="lacks decision"):
        models.params(Architecture({"edge_0_1": "none"}))
    with pytest.raises(SpaceError, match="no decision 'extra'"):
        models.macs(Architecture({**archs[0], "extra": 1}))
    copy = pickle.loads(pickle.dumps(models))
    assert copy.is_cheap("params") and copy.params(archs[0]) == costs[archs[0]][0]


def test_sums_that_are_not_what_was_counted_are_never_used() -> None:
    space = ModelSpace(Looking, input_shape=(4, 6, 6))
    models, rng = MetaModels(space), np.random.default_rng(0)
    archs = list(dict.fromkeys(space.sample(rng) for _ in range(6 * N_COUNTED)))
    assert len(archs) > 2 * N_COUNTED
    for arch in archs:
        assert (models.params(arch), models.macs(arch)) == counted(space, arch)
    assert models.is_cheap("macs") is False and models.is_cheap("params")
    assert added(space, archs[0])[0] == counted(space, archs[0])[0]
