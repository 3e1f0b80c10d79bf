"""Costs that are composed must be those that are counted, of every member; what cannot be composed is counted."""

import pickle
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from raynas import Architecture, ModelSpace
from raynas.core.architecture import Option
from raynas.metrics.composed_costs import ComposedCosts
from raynas.metrics.cost import N_COUNTED, MetaModels
from raynas.nn import Choice, InputChoice, Repeat
from raynas.nn.elastic import Size, ratio
from raynas.nn.elastic_layers import ElasticBatchNorm2d, ElasticConv2d, ElasticLinear, ElasticResize
from raynas.search_spaces import (
    DARTS,
    Hierarchical,
    MobileNetV3,
    NASBench201,
    NASBenchMacro,
    NASNet,
    ResNet,
    ShuffleNet,
    Tree,
)
from tests.metrics.chains import Chain, counted, space_of

CATALOGUE = [
    DARTS(cells=3, channels=4, n_nodes=2),
    Hierarchical(channels=4, n_motifs=2, motif_nodes=3, cell_nodes=3, input_shape=(3, 16, 16)),
    MobileNetV3(input_shape=(3, 32, 32), depths=(1, 2), search_squeeze_excite=True, search_activation=True),
    NASBench201(cells=2),
    NASBenchMacro(),
    NASNet(channels=4, cells=3, n_blocks=2, input_shape=(3, 16, 16)),
    ResNet(input_shape=(3, 32, 32)),
    ShuffleNet(input_shape=(3, 32, 32)),
    Tree(input_shape=(3, 16, 16), depth=2),
]


def composed(costs: ComposedCosts, arch: Mapping[str, Option]) -> tuple[int, int]:
    return costs.of("params", arch), costs.of("macs", arch)


@pytest.mark.parametrize("space", CATALOGUE, ids=lambda space: space.name)
def test_random_members_of_the_catalogue(space: ModelSpace) -> None:
    costs, rng = ComposedCosts(space), np.random.default_rng(1)
    archs = [space.sample(rng) for _ in range(8)]
    found = [composed(costs, arch) for arch in archs]
    for arch, cost in list(zip(archs, found, strict=True))[-2:]:
        assert cost == counted(space, arch), arch


class Everything(nn.Module):
    """Widths, a kernel, depths, a resolution, blocks that halve the image, options of other widths, a shared choice."""

    def __init__(self) -> None:
        super().__init__()
        self.resize = ElasticResize(3, Size((6, 8), "side"))
        self.stem = ElasticConv2d(3, Size((4, 6), "width"), Size((1, 3, 5)))
        self.norm = ElasticBatchNorm2d(6)
        self.body = Choice({"wide": self._wide, "same": lambda: Repeat(lambda i: nn.MaxPool2d(2), 0, 2)})
        self.inputs = InputChoice(2, 1, edge=lambda i: Choice({"a": nn.Identity, "b": lambda: nn.AvgPool2d(3, 1, 1)}))
        self.twice = Choice({"norm": lambda: ElasticBatchNorm2d(18), "skip": nn.Identity})
        self.head = ElasticLinear(18, 2)
        self.unused = nn.Linear(3, 5)

    @staticmethod
    def _wide() -> nn.Module:
        return nn.Sequential(ElasticConv2d(6, ratio((1.5, 2, 3), divisor=2), 3), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(self.norm(self.stem(self.resize(x))))
        x = self.twice(self.twice(self.inputs(x, x + 1)))
        out: torch.Tensor = self.head(x.mean((2, 3)))
        return out


def test_every_member_of_a_model_whose_shapes_depend_on_everything() -> None:
    space = ModelSpace(Everything, input_shape=(3, 8, 8))
    costs, members = ComposedCosts(space), list(space.enumerate())
    for i in np.random.default_rng(0).permutation(len(members))[:50]:
        assert composed(costs, members[i]) == counted(space, members[i]), members[i]


def conv(kernel: int) -> nn.Module:
    return nn.Conv2d(4, 4, kernel, padding=kernel // 2)


def test_by_hand() -> None:
    kernels = {"one": partial(conv, 1), "three": partial(conv, 3)}
    space = space_of(*[lambda: Choice(kernels)] * 3, lambda: ElasticConv2d(4, Size((2, 3)), 1, stride=2))
    costs, one, three = ComposedCosts(space), 16 + 4, 9 * 16 + 4
    for width in (2, 3):
        arch = {"parts.0": "one", "parts.1": "three", "parts.2": "three", "parts.3.out_channels": width}
        assert composed(costs, arch) == (one + 2 * three + 4 * width, 36 * (one + 2 * three) + 9 * 4 * width)


def test_a_module_is_run_once_in_each_situation() -> None:
    shapes = []

    class Seen(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            shapes.append(tuple(x.shape[2:]))
            return x

    kernels = {"one": partial(conv, 1), "three": partial(conv, 3)}
    space = space_of(lambda: Repeat(lambda i: nn.MaxPool2d(2), 0, 1), lambda: Choice(kernels), Seen)
    costs = ComposedCosts(space)
    for arch in space.enumerate():
        costs.of("macs", arch)
    assert shapes == [(6, 6), (3, 3)]


@pytest.mark.parametrize(
    ("arch", "of"),
    [
        pytest.param({"parts.0": "four"}, "option", id="no option"),
        pytest.param({"parts.0": "one", "other": 1}, "decision", id="no decision"),
        pytest.param({}, "lacking", id="a decision is missing"),
    ],
)
def test_what_is_no_member_has_no_cost(arch: dict[str, Option], of: str) -> None:
    costs = ComposedCosts(space_of(lambda: Choice({"one": partial(conv, 1), "three": partial(conv, 3)})))
    costs.of("macs", {"parts.0": "one"})
    with pytest.raises(KeyError):
        costs.of("macs", arch)
    assert costs.of("macs", {"parts.0": "one"}) == 36 * 20


_SHARED = nn.Conv2d(4, 4, 1)


class Reading(nn.Module):
    """Reads a number out of a tensor."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum().item() > 0 else -x


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([lambda: Choice({k: partial(nn.Sequential, _SHARED) for k in "ab"})] * 2, id="shared weights"),
        pytest.param([lambda: Choice({"reads": Reading, "also": lambda: Reading()})], id="needs values"),
        pytest.param(
            [lambda: Choice({"lazy": lambda: nn.LazyConv2d(4, 1), "no": lambda: nn.LazyConv2d(4, 3)})], id="lazy"
        ),
        pytest.param([lambda: ElasticConv2d(3, Size((4, 5)), 1)], id="more channels than announced"),
    ],
)
def test_what_cannot_be_composed_is_refused(parts: list[Callable[[], nn.Module]]) -> None:
    space = space_of(*parts)
    costs = ComposedCosts(space)
    with pytest.raises(KeyError):
        for arch in space.enumerate():
            composed(costs, arch)


def test_nothing_random_is_changed() -> None:
    torch.manual_seed(0)
    ComposedCosts(CATALOGUE[2]).of("macs", CATALOGUE[2].sample(np.random.default_rng(0)))
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(1))


# --- how they are used -----------------------------------------------------------------------------------------------


def samples(space: ModelSpace, n: int) -> list[Architecture]:
    rng = np.random.default_rng(0)
    return list(dict.fromkeys(space.sample(rng) for _ in range(n)))


class Counting(ModelSpace):
    """Counts its builds."""

    n_built = 0

    def canonical(self, arch: Mapping[str, Option]) -> Architecture:
        type(self).n_built += 1
        return super().canonical(arch)


def elastic_chain() -> nn.Module:
    return Chain(*(ElasticConv2d(4, Size((2, 3, 4)), Size((1, 3))) for _ in range(3)))


def test_composing_replaces_counting_once_it_has_been_compared() -> None:
    space = Counting(elastic_chain, input_shape=(4, 6, 6))
    archs = samples(space, 4 * N_COUNTED)
    assert len(archs) > 2 * N_COUNTED
    models, Counting.n_built = MetaModels(space), 0
    costs = {arch: (models.params(arch), models.macs(arch)) for arch in archs}
    assert models.is_cheap("params") and models.is_cheap("macs")
    assert Counting.n_built == N_COUNTED
    assert costs[archs[-1]] == counted(space, archs[-1])
    copy = pickle.loads(pickle.dumps(models))
    assert copy.is_cheap("macs") and copy.macs(archs[-1]) == costs[archs[-1]][1]


class Peeking(nn.Module):
    """Runs a layer if another choice became a certain module, which neither shapes nor its own options tell."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Choice({"one": partial(conv, 1), "skip": nn.Identity})
        self.second = Repeat(lambda i: Choice({"wide": lambda: ElasticConv2d(8, 4, 3), "one": partial(conv, 1)}), 3, 6)
        self.extra = nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(self.first(x))
        out: torch.Tensor = self.extra(x) if isinstance(self.first, nn.Identity) else x
        return out


def test_what_does_not_reproduce_the_counts_is_never_used() -> None:
    space = ModelSpace(Peeking, input_shape=(4, 6, 6))
    models = MetaModels(space)
    archs = samples(space, 4 * N_COUNTED)
    assert len(archs) > N_COUNTED
    for arch in archs:
        assert (models.params(arch), models.macs(arch)) == counted(space, arch)
    assert models.is_cheap("macs") is False and models.is_cheap("params")
