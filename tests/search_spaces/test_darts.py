"""None"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raynas.core.space import SearchSpace
from raynas.drawing import draw, picture_of
from raynas.errors import SpaceError
from raynas.metrics import count_macs, count_params
from raynas.nn import Supernet
from raynas.search_spaces.darts import DARTS, OPERATIONS
from raynas.search_spaces.darts_genotype import from_genotype
from raynas.testing import SpaceContract

SMALL = DARTS(input_shape=(1, 8, 8), channels=4, cells=3, n_nodes=2)


SEARCH = replace(SMALL, affine=False)


class TestDARTS(SpaceContract):
    @pytest.fixture(params=[replace(SEARCH, channels=2)], ids=["search"])
    def space(self, request: pytest.FixtureRequest) -> SearchSpace:
        space: SearchSpace = replace(request.param)  # a new one, which remembers nothing
        return space


# The cells of the paper's second-order search, from genotypes.py of its authors (quark0/darts, DARTS_V2).
NORMAL = [
    *(("sep_conv_3x3", 0), ("sep_conv_3x3", 1)),
    *(("sep_conv_3x3", 0), ("sep_conv_3x3", 1)),
    *(("sep_conv_3x3", 1), ("skip_connect", 0)),
    *(("skip_connect", 0), ("dil_conv_3x3", 2)),
]


REDUCE = [
    *(("max_pool_3x3", 0), ("max_pool_3x3", 1)),
    *(("skip_connect", 2), ("max_pool_3x3", 1)),
    *(("max_pool_3x3", 0), ("skip_connect", 2)),
    *(("skip_connect", 2), ("max_pool_3x3", 1)),
]


DARTS_V2 = f"Genotype(normal={NORMAL}, normal_concat=[2, 3, 4, 5], reduce={REDUCE}, reduce_concat=range(2, 6))"


def cost_of(operation: str, c: int, stride: int) -> tuple[int, int]:
    """Params and multiply-adds per pixel on c channels, from the definition in the paper."""
    if "conv" in operation:
        kernel, times = int(operation[-1]), 2 if operation.startswith("sep") else 1
        convs = times * (kernel * kernel * c + c * c)
        return convs + times * 2 * c, convs
    if operation == "skip_connect" and stride == 2:
        return c * c + 2 * c, c * c
    return 0, 0


def counted(
    normal: Sequence[tuple[str, int]], reduce: Sequence[tuple[str, int]], c: int, n_cells: int, side: int = 32
) -> tuple[int, int]:
    """Params and multiply-adds of a network for CIFAR-10."""
    params, macs = 27 * 3 * c + 6 * c, 27 * 3 * c * side**2
    widths = [3 * c, 3 * c]
    for i in range(n_cells):
        reduces = i in (n_cells // 3, 2 * n_cells // 3)
        # Both inputs have the side of the last cell once they are preprocessed.
        c *= 1 + reduces
        params, macs = params + sum(w * c + 2 * c for w in widths), macs + sum(w * c * side**2 for w in widths)
        side //= 1 + reduces
        for operation, state in reduce if reduces else normal:
            more, per_pixel = cost_of(operation, c, 2 if reduces and state < 2 else 1)
            params, macs = params + more, macs + per_pixel * side**2
        widths = [widths[1], 4 * c]
    return params + (widths[1] + 1) * 10, macs + (widths[1] + 1) * 10


def test_the_published_cells_cost_what_the_paper_says() -> None:
    with torch.device("meta"):
        model = DARTS().build(from_genotype(DARTS_V2))
    params, macs = counted(NORMAL, REDUCE, c=36, n_cells=20)
    assert count_params(model) == params
    assert count_macs(model, (3, 32, 32)) == macs
    assert round(params / 1e6, 1) == 3.3  # table 1 of the paper
    assert params == 3_349_342  # "param size = 3.349342MB", as the authors' program logs it


def test_random_cells_cost_what_counting_gives() -> None:
    space, rng = replace(DARTS(), channels=4, cells=7), np.random.default_rng(0)
    for _ in range(5):
        arch = space.sample(rng)
        normal, reduce = (
            [
                (str(arch[f"{cell}.{node}.op_{state}"]), int(state))
                for node in range(4)
                for state in str(arch[f"{cell}.{node}.inputs"]).split("+")
            ]
            for cell in ("normal", "reduce")
        )
        with torch.device("meta"):
            model = space.build(arch)
        assert (count_params(model), count_macs(model, (3, 32, 32))) == counted(normal, reduce, c=4, n_cells=7)


def test_size_is_that_of_the_paper() -> None:
    # Section 3.1 counts the choices of predecessors, and 7 operations on each of 8 edges, for two cells: about 10^18.
    assert DARTS().size == (1 * 3 * 6 * 10 * 7**8) ** 2
    assert 1e18 < DARTS().size < 2e18


def test_decisions_do_not_depend_on_the_size_of_the_networks() -> None:
    search = DARTS(channels=16, cells=8, affine=False, input_shape=(1, 28, 28))
    assert list(search.decisions) == list(DARTS().decisions)
    # Though they are found in a smaller network: the full one has the same.
    assert list(search._discovered) == list(DARTS().decisions)


def test_macro_gives_each_cell_its_own_decisions() -> None:
    space = replace(SMALL, macro=True, cells=4)
    assert {d.name.split(".")[0] for d in space.decisions} == {"cell_0", "cell_1", "cell_2", "cell_3"}
    assert len(space.decisions) == 2 * len(replace(SMALL, cells=4).decisions)
    rng = np.random.default_rng(0)
    arch = space.sample(rng)
    assert space.build(arch)(torch.randn(2, 1, 8, 8)).shape == (2, 10)
    assert {cell.title for cell in space.cell_graphs(arch)} == {"cell_0", "cell_1", "cell_2", "cell_3"}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("operation", list(OPERATIONS))
def test_operations_keep_channels_and_halve_upwards(operation: str, affine: bool, stride: int) -> None:
    module = OPERATIONS[operation](4, stride, affine)
    side = 5 if stride == 1 else 3
    assert module(torch.randn(2, 4, 5, 5)).shape == (2, 4, side, side)
    assert [m.affine for m in module.modules() if isinstance(m, nn.BatchNorm2d)] == [affine] * _n_norms(
        operation, affine, stride
    )
    if any(isinstance(m, nn.ReLU) for m in module.modules()):
        assert isinstance(module, nn.Sequential)
        assert isinstance(module[0], nn.ReLU)
        assert not module[0].inplace


def _n_norms(operation: str, affine: bool, stride: int) -> int:
    if "pool" in operation:
        return 0 if affine else 1
    return {"sep_conv": 2, "dil_conv": 1, "skip_connect": stride - 1}[
        operation.removesuffix("_3x3").removesuffix("_5x5")
    ]


def test_dilated_operations_reach_further() -> None:
    x = torch.zeros(1, 4, 9, 9, requires_grad=True)
    for operation, reach in (("dil_conv_3x3", 5), ("dil_conv_5x5", 9), ("sep_conv_3x3", 5), ("sep_conv_5x5", 9)):
        torch.manual_seed(0)
        module = OPERATIONS[operation](4, 1, True).eval()
        for relu in [m for m in module.modules() if isinstance(m, nn.ReLU)]:
            relu.register_forward_hook(lambda _, inputs, __: inputs[0])  # lets all gradients through
        (grad,) = torch.autograd.grad(module(x)[0, :, 4, 4].sum(), x)
        rows = grad[0].abs().sum((0, 2)).nonzero().flatten()
        assert int(rows[-1] - rows[0]) + 1 == reach


def test_the_reduction_leaves_no_pixel_out() -> None:
    module = OPERATIONS["skip_connect"](4, 2, True).eval()
    x = torch.ones(1, 4, 4, 4, requires_grad=True)
    (grad,) = torch.autograd.grad(module(x).square().sum(), x)
    seen = grad[0].abs().sum(0) > 0
    # Of each two by two pixels, one half of the channels sees the first, the other the last.
    assert seen.tolist() == [[(i - j) % 2 == 0 for j in range(4)] for i in range(4)]


def test_only_chosen_edges_exist() -> None:
    arch = from_genotype(DARTS_V2)
    net: Any = DARTS(channels=4, cells=3).build(arch)
    for name, cell in zip(("normal", "reduce", "reduce"), net.cells, strict=True):
        for i, node in enumerate(cell.nodes):
            assert [*node.inputs._modules] == str(arch[f"{name}.{i}.inputs"]).split("+")


def test_nodes_add_up_their_edges() -> None:
    arch = {name: "skip_connect" if "op" in name else option for name, option in from_genotype(DARTS_V2).items()}
    net: Any = DARTS(channels=4, cells=3).build(arch)
    cell = net.cells[0].eval()
    first, second = torch.randn(1, 12, 8, 8), torch.randn(1, 12, 8, 8)
    s0, s1 = cell.preprocess0(first), cell.preprocess1(second)
    # In the normal cell the first three nodes take both inputs, the last one takes input 0 and node 0.
    expected = torch.cat([s0 + s1, s0 + s1, s0 + s1, s0 + (s0 + s1)], dim=1)
    torch.testing.assert_close(cell(first, second), expected)


@pytest.mark.parametrize(("cells", "sides"), [(3, [8, 4, 2]), (8, [8, 8, 4, 4, 4, 2, 2, 2]), (4, [8, 4, 2, 2])])
def test_cells_after_each_third_halve_the_image(cells: int, sides: list[int]) -> None:
    net: Any = replace(SMALL, cells=cells).build(SMALL.sample(np.random.default_rng(0)))
    shapes: list[torch.Size] = []
    for cell in net.cells:
        cell.register_forward_hook(lambda _, __, out: shapes.append(out.shape))
    net.eval()(torch.zeros(1, 1, 8, 8))
    assert [shape[-1] for shape in shapes] == sides
    assert [shape[1] for shape in shapes] == [2 * 4 * (8 // side) for side in sides]


def test_the_search_has_batch_norms_without_weights() -> None:
    net: Any = SEARCH.build(SEARCH.sample(np.random.default_rng(0)))
    norms = [m for m in net.cells.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and not any(norm.affine for norm in norms)


@pytest.mark.parametrize("side", [1, 7])
def test_images_may_have_any_side(side: int) -> None:
    space = replace(SMALL, input_shape=(1, side, side))
    for arch in space.showcase():
        assert space.build(arch).eval()(torch.zeros(1, 1, side, side)).shape == (1, 10)


def test_edges_can_be_relaxed_as_in_the_paper() -> None:
    supernet = Supernet(SEARCH)
    edges = [place for place in supernet.expanded_choices if ".op_" in place.name]
    # 2 + 3 edges in each of 3 cells, all with the paper's "none" in the relaxation.
    assert len(edges) == 15
    assert all(getattr(place.choice, "null", False) for place in edges)


def test_partial_channels_can_be_taken() -> None:
    supernet = Supernet(SEARCH, partial_channels=2)
    assert supernet(torch.randn(2, 1, 8, 8), SEARCH.sample(np.random.default_rng(0))).shape == (2, 10)
    net: Any = supernet.net
    (conv, *_) = [m for m in net.cells[0].nodes.modules() if isinstance(m, nn.Conv2d)]
    assert conv.in_channels == 4 // 2


def test_the_picture_shows_both_cells(tmp_path: Path) -> None:
    picture = picture_of(DARTS(), from_genotype(DARTS_V2))
    assert [box.panel for box in picture.boxes] == ["normal cell"] * 7 + ["reduction cell"] * 7
    drawn = [(a.text, int(a.source[-1])) for a in picture.arrows if a.source.startswith("normal") and a.text]
    assert [sorted(drawn[i : i + 2]) for i in range(0, 8, 2)] == [sorted(NORMAL[i : i + 2]) for i in range(0, 8, 2)]
    assert sum(arrow.target == "reduction cell.out" for arrow in picture.arrows) == 4
    draw(DARTS(), from_genotype(DARTS_V2), tmp_path / "darts.svg")
    assert (tmp_path / "darts.svg").stat().st_size > 10_000


@pytest.mark.parametrize(
    "sizes", [{"input_shape": (8, 8)}, {"channels": 0}, {"cells": 2}, {"n_nodes": 0}, {"n_classes": 0}]
)
def test_refuses_impossible_sizes(sizes: dict[str, Any]) -> None:
    with pytest.raises(SpaceError, match="cells at least 3"):
        DARTS(**sizes)
