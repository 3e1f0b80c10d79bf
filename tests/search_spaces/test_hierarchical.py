from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from raynas.core.architecture import Architecture, Option
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.metrics import count_macs, count_params
from raynas.nn import Supernet
from raynas.nn.materialisation import materialise
from raynas.search_spaces.hierarchical import PRIMITIVES, Hierarchical, edge_name, edges
from raynas.testing import SpaceContract
from tests.search_spaces.recorder import Recorder

SMALL = Hierarchical(input_shape=(1, 8, 8), n_classes=3, channels=2, n_motifs=2, motif_nodes=3, cell_nodes=3)
TINY = replace(SMALL, motif_nodes=2)


class TestHierarchical(SpaceContract):
    @pytest.fixture(params=[TINY], ids=["tiny"])
    def space(self, request: pytest.FixtureRequest) -> SearchSpace:
        space: SearchSpace = request.param
        return space


def member(space: Hierarchical, **options: str) -> Architecture:
    """The architecture with ``options``, and "none" on every other edge."""
    return space.canonical({**{decision.name: "none" for decision in space.decisions}, **options})


def test_has_six_motifs_of_six_edges_and_a_cell_of_ten() -> None:
    decisions = Hierarchical().decisions
    assert [len(d.options) for d in decisions if d.name.startswith("cell")] == [7] * 10
    assert [len(d.options) for d in decisions if d.name.startswith("motif")] == [7] * 36


def test_size_counts_motifs_that_are_used() -> None:
    # Cells of 3 edges with 2 motifs: 1 without any, 7 with each one alone, 12 with both; a motif is 7 operations.
    assert TINY.size == 1 + 2 * 7 * 7 + 12 * 7**2
    # Without what is unused this would be 7^46, the number of genotypes in the paper's representation.
    assert 7**46 / 10 < Hierarchical().size < 7**46
    counts = np.bincount([len(set(cell) - {0}) for cell in product(range(4), repeat=6)])
    motif = 7**3
    assert replace(SMALL, n_motifs=3, cell_nodes=4).size == sum(
        int(count) * motif**n_used for n_used, count in enumerate(counts)
    )


@pytest.mark.parametrize("space", [SMALL, Hierarchical(input_shape=(3, 8, 8), channels=2)], ids=["small", "default"])
def test_active_decisions_are_those_that_building_asks_for(space: Hierarchical) -> None:
    rng = np.random.default_rng(0)
    everything = {decision.name: decision.sample(rng) for decision in space.decisions}
    for arch in [space.sample(rng) for _ in range(3)]:
        recorder = Recorder({**everything, **arch})
        with torch.device("meta"):
            materialise(space.factory(), recorder)
        assert recorder.asked == set(arch)


def test_a_motif_is_the_same_wherever_it_stands() -> None:
    arch = member(
        SMALL,
        cell_edge_1_2="motif_2",
        cell_edge_2_3="motif_2",
        motif_2_edge_1_2="max_pool_3x3",
        motif_2_edge_2_3="identity",
    )
    assert set(arch) == {d.name for d in SMALL.decisions if "motif_1" not in d.name}
    cells = [layer for layer in SMALL.build(arch) if type(layer).__name__ == "Motif"]  # type: ignore[attr-defined]
    assert len(cells) == 3
    for cell in cells:
        for edge in (cell.edge_1_2, cell.edge_2_3):
            assert type(edge[0].edge_1_2[0]).__name__ == "MaxPool2d"
            assert type(edge[0].edge_2_3[0]).__name__ == "Identity"
            assert type(edge[0].edge_1_3).__name__ == "Zero"
        assert type(cell.edge_1_3).__name__ == "Zero"


def test_a_node_is_a_1x1_convolution_of_the_concatenation() -> None:
    arch = member(TINY, cell_edge_1_2="motif_1", cell_edge_1_3="motif_2", cell_edge_2_3="motif_1")
    cell: Any = TINY.build(arch).eval()[3]  # type: ignore[index]
    x = torch.randn(2, 2, 5, 5)
    second = cell.node_2(cell.edge_1_2(x))
    joined = torch.cat((cell.edge_1_3[0](x), cell.edge_2_3[0](second)), dim=1)
    weight = torch.cat((cell.edge_1_3[1].weight, cell.edge_2_3[1].weight), dim=1)
    torch.testing.assert_close(cell(x), cell.node_3(torch.nn.functional.conv2d(joined, weight)))


def counted(space: Hierarchical, arch: Mapping[str, Option]) -> tuple[int, int]:
    """Parameters and multiply-adds by hand."""

    def primitive(name: Option, c: int) -> tuple[int, int]:
        """Weights of convolutions, weights of batch norms."""
        return {
            "conv_1x1": (c * c, 2 * c),
            "depthwise_3x3": (9 * c, 2 * c),
            "separable_3x3": (9 * c + c * c, 2 * c),
        }.get(str(name), (0, 0))

    def graph(name: str, n_nodes: int, c: int) -> tuple[int, int]:
        conv, norm = 0, 2 * c * (n_nodes - 1)
        for edge in edges(n_nodes):
            option = arch[edge_name(name, *edge)]
            if option != "none":
                is_motif = str(option).startswith("motif")
                inner = graph(str(option), space.motif_nodes, c) if is_motif else primitive(option, c)
                conv, norm = conv + c * c + inner[0], norm + inner[1]
        return conv, norm

    def costs() -> Iterator[tuple[int, int, int]]:
        c, side = space.channels, space.input_shape[1]
        yield 9 * space.input_shape[0] * c, 2 * c, side**2
        for stage in range(3):
            for i in range(space.cells):
                yield (*graph("cell", space.cell_nodes, c), side**2)
                wide = 2 * c if i == space.cells - 1 and stage < 2 else c
                side //= wide // c
                yield 9 * c + c * wide, 2 * wide, side**2
                c = wide
        yield (c + 1) * space.n_classes, 0, 1

    return sum(conv + norm for conv, norm, _ in costs()), sum(conv * pixels for conv, _, pixels in costs())


@pytest.mark.parametrize("sizes", [{}, {"channels": 64, "cells": 2}], ids=["small", "large"])
@pytest.mark.parametrize("seed", range(3))
def test_costs_are_those_of_an_independent_count(sizes: dict[str, int], seed: int) -> None:
    space = Hierarchical(**sizes)  # type: ignore[arg-type]
    arch = space.sample(np.random.default_rng(seed))
    with torch.device("meta"):
        model = space.build(arch)
    assert (count_params(model), count_macs(model, space.input_shape)) == counted(space, arch)


def test_costs_have_not_changed() -> None:
    space = Hierarchical()
    options = {d.name: "motif_1" if d.name.startswith("cell") else "separable_3x3" for d in space.decisions}
    assert counted(space, space.canonical(options)) == (789_514, 118_778_506)


def test_options_can_be_mixed() -> None:
    torch.manual_seed(0)
    supernet = Supernet(SMALL).eval()
    arch = SMALL.sample(np.random.default_rng(0))
    x = torch.randn(2, 1, 8, 8)
    ways = {name: choice.alternatives for name, choice in supernet.choices.items()}
    one_hot = {name: torch.tensor([float(way == option) for way in ways[name]]) for name, option in arch.items()}
    uniform = {name: torch.full((len(options),), 1 / len(options)) for name, options in ways.items()}
    everything = uniform | one_hot
    torch.testing.assert_close(supernet(x, everything), supernet(x, arch))
    assert not torch.equal(supernet(x, uniform), supernet(x, arch))


def test_runs_with_nothing_on_any_edge() -> None:
    model = SMALL.build(member(SMALL)).eval()
    assert torch.equal(model(torch.zeros(1, 1, 8, 8)), model(torch.ones(1, 1, 8, 8)))


def test_stages_halve_the_image_and_double_the_width() -> None:
    space = Hierarchical(channels=2, cells=2)
    x, shapes = torch.zeros(1, 3, 32, 32), []
    for layer in space.build(member(space)).eval():  # type: ignore[attr-defined]
        x = layer(x)
        if type(layer).__name__ == "Motif":
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [(2, 32, 32)] * 2 + [(4, 16, 16)] * 2 + [(8, 8, 8)] * 2


@pytest.mark.parametrize("side", [1, 7, 30])
def test_takes_images_of_any_size(side: int) -> None:
    arch = SMALL.sample(np.random.default_rng(0))
    assert SMALL.build(arch).eval()(torch.zeros(1, 1, side, side)).shape == (1, 3)


def test_decisions_do_not_depend_on_the_size_of_the_networks() -> None:
    assert list(Hierarchical(channels=64, cells=2).decisions) == list(Hierarchical().decisions)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"channels": 0}, "at least 1"),
        ({"cells": 0}, "at least 1"),
        ({"n_motifs": 0}, "at least 1"),
        ({"input_shape": (3, 32)}, "at least 1"),
        ({"motif_nodes": 1}, "at least 2 nodes"),
        ({"cell_nodes": 1}, "at least 2 nodes"),
    ],
)
def test_refuses_impossible_sizes(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Hierarchical(**sizes)  # type: ignore[arg-type]


def test_primitives_are_the_papers() -> None:
    assert set(PRIMITIVES) == {
        *("identity", "conv_1x1", "depthwise_3x3", "separable_3x3", "max_pool_3x3", "avg_pool_3x3")
    }
