from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.errors import SpaceError
from raynas.metrics import count_macs, count_params
from raynas.nn import Supernet
from raynas.nn.materialisation import materialise
from raynas.search_spaces.tree import OPERATIONS, Tree, shares
from tests.search_spaces.recorder import Recorder

SMALL = Tree(input_shape=(1, 8, 8), n_classes=3, growth=6, depth=2)

# The cell that the paper calls TreeCell-A (han-cai/PathLevel-EAS, code/ImageNet/tree_cells.py).
TREE_CELL_A = {
    **{"root": "add_2", "node_0": "add_2", "node_1": "add_2"},
    **{"edge_0_0": "conv_1x1", "node_0_0": "concat_2", "edge_0_0_0": "avg_pool_3x3", "edge_0_0_1": "separable_7x7"},
    **{"edge_0_1": "max_pool_3x3", "node_0_1": "add_2", "edge_0_1_0": "separable_3x3", "edge_0_1_1": "separable_5x5"},
    **{"edge_1_0": "separable_5x5", "node_1_0": "add_3", "edge_1_0_0": "separable_5x5"},
    **{"edge_1_0_1": "avg_pool_3x3", "edge_1_0_2": "avg_pool_3x3"},
    **{"edge_1_1": "separable_3x3", "node_1_1": "add_2", "edge_1_1_0": "avg_pool_3x3", "edge_1_1_1": "separable_3x3"},
}


def test_costs_are_the_papers() -> None:
    # 13.1 M parameters: TreeCell-A with DenseNet (N=16, k=48, G=2).
    with torch.device("meta"):
        model = Tree(cells=16, growth=48, groups=2).build(Architecture(TREE_CELL_A))
    assert round(count_params(model) / 1e6, 1) == 13.1


def counted(space: Tree, arch: Mapping[str, Option]) -> tuple[int, int]:
    """Parameters and multiply-adds by hand."""

    def operation(name: Option, c: int) -> tuple[int, int]:
        """Weights of convolutions, weights of batch norms."""
        if name == "conv_1x1":
            return c * c, 2 * c
        if str(name).startswith("separable"):
            return int(str(name)[-1]) ** 2 * c + c * c, 2 * c
        return 0, 0

    def below(path: str, c: int) -> Iterator[tuple[int, int]]:
        kind = arch.get(f"node{path}", "leaf")
        if kind != "leaf":
            halves = [(c + 1) // 2, c // 2]
            widths = {"chain": [c], "add_2": [c] * 2, "add_3": [c] * 3, "concat_2": halves}[str(kind)]
            for i, width in enumerate(widths):
                yield operation(arch[f"edge{path}_{i}"], width)
                yield from below(f"{path}_{i}", width)

    def cell() -> tuple[int, int]:
        n_in, k, groups = 4 * space.growth, space.growth, space.groups
        parts = [(9 * n_in // groups * k, 2 * n_in)]
        n_branches = {"chain": 1, "add_2": 2, "add_3": 3, "concat_2": 2}[str(arch["root"])]
        is_concat = arch["root"] == "concat_2"
        if is_concat:
            # With groups each branch takes half of the channels, so that there are as many weights as before.
            parts = [(parts[0][0], 2 * n_in if groups > 1 else 4 * n_in)]
        for i in range(n_branches):
            parts += list(below(f"_{i}", k // 2 if is_concat else k))
        conv, norm = (sum(part[i] for part in parts) for i in range(2))
        extra = 0 if is_concat else n_branches - 1
        return conv + extra * parts[0][0], norm + extra * parts[0][1]

    def costs() -> Iterator[tuple[int, int, int]]:
        width, side, k = 2 * space.growth, space.input_shape[1], space.growth
        yield 9 * space.input_shape[0] * width, 0, side**2
        for stage in range(3):
            if stage:
                yield width * (width // 2), 2 * width, side**2
                width, side = width // 2, side // 2
            for _ in range(space.cells):
                yield width * 4 * k, 2 * width, side**2
                yield (*cell(), side**2)
                width += k
        yield 0, 2 * width, 0
        yield (width + 1) * space.n_classes, 0, 1

    return sum(conv + norm for conv, norm, _ in costs()), sum(conv * pixels for conv, _, pixels in costs())


@pytest.mark.parametrize("sizes", [{}, {"groups": 1, "cells": 2, "growth": 10}], ids=["default", "other"])
@pytest.mark.parametrize("root", ["chain", "add_2", "add_3", "concat_2"])
def test_costs_are_those_of_an_independent_count(sizes: dict[str, int], root: str) -> None:
    space = Tree(**sizes)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    for _ in range(3):
        everything = {decision.name: decision.sample(rng) for decision in space.decisions}
        arch = space.canonical({**everything, "root": root})
        with torch.device("meta"):
            model = space.build(arch)
        assert (count_params(model), count_macs(model, space.input_shape)) == counted(space, arch)


def test_costs_have_not_changed() -> None:
    space = Tree(cells=16)
    assert counted(space, TREE_CELL_A) == (13_116_010, 5_088_646_522)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_size_counts_all_trees(depth: int) -> None:
    def trees(depth: int, n_operations: int) -> int:
        branch = n_operations * (1 + (trees(depth - 1, 7) if depth > 1 else 0))
        return branch + 2 * branch**2 + branch**3

    assert Tree(depth=depth).size == trees(depth, 1)


def test_default_has_a_published_depth() -> None:
    # Three edges in a row at most, two or three branches to add, two to concatenate.
    assert Tree().depth == 3
    assert f"{Tree().size:.1e}" == "3.0e+31"
    assert len(OPERATIONS) == 7


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_active_decisions_are_those_that_building_asks_for(depth: int) -> None:
    space = replace(SMALL, depth=depth, growth=8)
    rng = np.random.default_rng(0)
    for _ in range(10):
        everything = {decision.name: decision.sample(rng) for decision in space.decisions}
        recorder = Recorder(everything)
        with torch.device("meta"):
            materialise(space.factory(), recorder)
        assert recorder.asked == set(space.canonical(everything))


def cell_of(space: Tree, **options: str) -> Any:
    arch = space.canonical({**{d.name: d.options[0] for d in space.decisions}, **options})
    layers = [layer for layer in space.build(arch).eval() if type(layer).__name__ == "DenseLayer"]  # type: ignore[attr-defined]
    return layers[0].cell


@pytest.mark.parametrize(("root", "n_branches"), [("chain", 1), ("add_2", 2), ("add_3", 3)])
def test_addition_replicates_and_averages(root: str, n_branches: int) -> None:
    cell = cell_of(SMALL, root=root)
    x = torch.randn(2, 24, 5, 5)
    branches = list(cell.children())
    assert len(branches) == n_branches
    torch.testing.assert_close(cell(x), torch.stack([branch(x) for branch in branches]).mean(dim=0))


@pytest.mark.parametrize(("groups", "n_in"), [(1, 24), (2, 12)])
def test_concatenation_at_the_root_splits_where_the_convolution_has_groups(groups: int, n_in: int) -> None:
    cell = cell_of(replace(SMALL, groups=groups), root="concat_2")
    x = torch.randn(2, 24, 5, 5)
    parts = (x, x) if groups == 1 else (x[:, :12], x[:, 12:])
    assert torch.equal(cell(x), torch.cat([cell.branch_0(parts[0]), cell.branch_1(parts[1])], dim=1))
    convs = [module for module in cell.modules() if isinstance(module, nn.Conv2d)]
    assert [(conv.in_channels, conv.out_channels, conv.groups) for conv in convs] == [(n_in, 3, 1)] * 2


def test_concatenation_below_the_root_splits() -> None:
    cell = cell_of(replace(SMALL, growth=10), root="chain", node_0="concat_2", edge_0_1="max_pool_3x3")
    node = cell.branch_0[1]
    x = torch.randn(2, 10, 5, 5)
    assert torch.equal(node(x), torch.cat((x[:, :5], nn.functional.max_pool2d(x[:, 5:], 3, 1, 1)), dim=1))


def test_an_operation_comes_before_what_hangs_on_it() -> None:
    space = Tree(growth=8)
    cell = cell_of(space, root="chain", node_0="chain", edge_0_0="conv_1x1", node_0_0="add_2", edge_0_0_0="conv_1x1")
    inner = cell.branch_0[1].branch_0
    x = torch.randn(2, 8, 5, 5)
    after = inner[0](x)
    torch.testing.assert_close(inner(x), (inner[1].branch_0(after) + after) / 2)


def test_cells_are_all_the_same_and_their_outputs_are_joined() -> None:
    space = replace(SMALL, cells=2)
    model = space.build(space.sample(np.random.default_rng(1))).eval()
    layers = [layer for layer in model if type(layer).__name__ == "DenseLayer"]  # type: ignore[attr-defined]
    assert len({tuple((n, type(m)) for n, m in layer.cell.named_modules()) for layer in layers}) == 1
    x = torch.randn(1, 12, 4, 4)
    assert torch.equal(layers[0](x)[:, :12], x) and layers[0](x).shape == (1, 18, 4, 4)
    # 12 + 2 * 6 = 24, halved to 12, and so on.
    assert [layer.bottleneck[2].in_channels for layer in layers] == [12, 18] * 3


def test_options_can_be_mixed() -> None:
    torch.manual_seed(0)
    supernet = Supernet(SMALL).eval()
    arch = SMALL.sample(np.random.default_rng(3))
    x = torch.randn(2, 1, 8, 8)
    ways = {name: choice.alternatives for name, choice in supernet.choices.items()}
    one_hot = {name: torch.tensor([float(way == option) for way in ways[name]]) for name, option in arch.items()}
    uniform = {name: torch.full((len(options),), 1 / len(options)) for name, options in ways.items()}
    torch.testing.assert_close(supernet(x, uniform | one_hot), supernet(x, arch))
    assert not torch.equal(supernet(x, uniform), supernet(x, arch))


def test_shares_are_as_equal_as_can_be() -> None:
    assert [shares(7, 2), shares(48, 2), shares(2, 3)] == [[4, 3], [24, 24], [1, 1, 0]]


@pytest.mark.parametrize("side", [1, 7, 30])
def test_takes_images_of_any_size(side: int) -> None:
    arch = SMALL.sample(np.random.default_rng(0))
    assert SMALL.build(arch).eval()(torch.zeros(1, 1, side, side)).shape == (1, 3)


def test_decisions_do_not_depend_on_the_size_of_the_networks() -> None:
    assert list(Tree(growth=8, cells=16, groups=1).decisions) == list(Tree().decisions)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"cells": 0}, "at least 1"),
        ({"depth": 0}, "at least 1"),
        ({"groups": 0}, "at least 1"),
        ({"input_shape": (3, 32)}, "at least 1"),
        ({"groups": 3}, "1 or even"),
        ({"growth": 7}, "multiple of groups=2"),
        ({"growth": 6}, "at least 2 .. depth = 8"),
    ],
)
def test_refuses_impossible_sizes(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Tree(**sizes)  # type: ignore[arg-type]
