"""None"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raynas.core.architecture import Option
from raynas.drawing import draw, picture_of
from raynas.errors import SpaceError
from raynas.metrics import count_macs, count_params
from raynas.nn import Mixture, Supernet
from raynas.nn.operations import HalvingConv
from raynas.search_spaces.nasnet import NASNET_A, NASNet


def cost_of(operation: str, c: int, stride: int) -> tuple[int, int]:
    """Params and multiply-adds per pixel on c channels: convolutions, and two weights of a batch norm a channel."""
    if operation.startswith("sep"):
        convs = 2 * (int(operation[-1]) ** 2 * c + c * c)
        return convs + 4 * c, convs
    if operation == "identity" and stride == 2:
        return c * c + 2 * c, c * c
    assert operation in ("identity", "avg_pool_3x3", "max_pool_3x3")
    return 0, 0


def counted(
    normal: Sequence[tuple[str, int]],
    reduction: Sequence[tuple[str, int]],
    joined: Mapping[str, int],
    channels: int,
    n: int,
    side: int = 32,
) -> tuple[int, int, int]:
    """Params, multiply-adds and final filters of a network with ``joined`` states in the outputs of its cells."""
    params, macs = 27 * 3 * channels + 6 * channels, 27 * 3 * channels * side**2
    widths, sides, c = (3 * channels, 3 * channels), (side, side), channels
    for cell in [*["normal"] * n, "reduce"] * 2 + ["normal"] * n:
        reduces = cell == "reduce"
        c, out = c * (1 + reduces), sides[1] // (1 + reduces)
        for width, fitted in zip(widths, (sides[1], sides[1]), strict=True):
            params, macs = params + width * c + 2 * c, macs + width * c * fitted**2
        for operation, state in reduction if reduces else normal:
            more, per_pixel = cost_of(operation, c, 2 if reduces and state < 2 else 1)
            params, macs = params + more, macs + per_pixel * out**2
        widths, sides = (widths[1], joined[cell] * c), (sides[1], out)
    return params + (widths[1] + 1) * 10, macs + (widths[1] + 1) * 10, widths[1]


# The figure of NASNet-A in the paper, as DARTS's genotypes.py writes it down too: operation and state, 0 for the cell
# before the last, 1 for the last, 2 for the first block.
NORMAL = [
    *(("sep_conv_5x5", 1), ("sep_conv_3x3", 0)),
    *(("sep_conv_5x5", 0), ("sep_conv_3x3", 0)),
    *(("avg_pool_3x3", 1), ("identity", 0)),
    *(("avg_pool_3x3", 0), ("avg_pool_3x3", 0)),
    *(("sep_conv_3x3", 1), ("identity", 1)),
]


REDUCTION = [
    *(("sep_conv_5x5", 1), ("sep_conv_7x7", 0)),
    *(("max_pool_3x3", 1), ("sep_conv_7x7", 0)),
    *(("avg_pool_3x3", 1), ("sep_conv_5x5", 0)),
    *(("identity", 3), ("avg_pool_3x3", 2)),
    *(("sep_conv_3x3", 2), ("max_pool_3x3", 1)),
]


def built(space: NASNet, arch: Mapping[str, Option] = NASNET_A) -> nn.Module:
    with torch.device("meta"):
        return space.build(arch)


def small_arch(**options: Option) -> dict[str, Option]:
    """Two blocks for each cell, both of them identities of the inputs if nothing else is said."""
    arch: dict[str, Option] = {}
    for block in ("normal.0", "normal.1", "reduce.0", "reduce.1"):
        for side in (0, 1):
            arch |= {f"{block}.input_{side}": str(side), f"{block}.op_{side}": "identity"}
        arch[f"{block}.combination"] = "add"
    return arch | {name.replace("__", "."): option for name, option in options.items()}


SMALL = NASNet(input_shape=(1, 8, 8), channels=2, cells=1, n_blocks=2)


def test_nasnet_a_costs_what_counting_gives() -> None:
    params, macs, _ = counted(NORMAL, REDUCTION, {"normal": 5, "reduce": 3}, channels=32, n=6)
    model = built(NASNet())
    assert count_params(model) == params == 3_061_738
    assert count_macs(model, (3, 32, 32)) == macs


def test_nasnet_a_has_the_papers_params_with_the_outputs_of_the_authors_program() -> None:
    # used_hiddenstates in tensorflow/models, research/slim/nets/nasnet/nasnet_utils.py: 6 and 4 states are handed on.
    params, _, filters = counted(NORMAL, REDUCTION, {"normal": 6, "reduce": 4}, channels=32, n=6)
    assert filters == 768  # "NASNet-A (6 @ 768)"
    assert round(params / 1e6, 1) == 3.3  # table 1 of the paper


def test_size_is_that_of_the_five_choices() -> None:
    per_cell = np.prod([float(2 + i) ** 2 * 13**2 * 2 for i in range(5)])
    assert NASNet().size == pytest.approx(per_cell**2)
    assert len(NASNet().decisions) == 2 * 5 * 5
    assert not any(decision.active_if for decision in NASNet().decisions)


def test_decisions_do_not_depend_on_the_size_of_the_networks() -> None:
    space = NASNet(channels=3, cells=2, input_shape=(2, 9, 9), n_classes=4)
    assert list(space.decisions) == list(NASNet().decisions)
    assert [len(built(replace(space, cells=n)).cells) for n in (1, 2)] == [5, 8]  # type: ignore[arg-type]


def test_images_may_have_any_side() -> None:
    for side in (1, 7):
        space = replace(SMALL, input_shape=(1, side, side))
        assert space.build(small_arch()).eval()(torch.randn(2, 1, side, side)).shape == (2, 10)


def test_a_block_that_another_takes_is_not_in_the_output() -> None:
    free: Any = SMALL.build(small_arch())
    taken: Any = SMALL.build(small_arch(normal__1__input_0="2"))
    # Behind the first normal cell, with its image halved, and behind the last one.
    for layer in (lambda net: net.cells[1].fit_1, lambda net: net.cells[2].fit_0, lambda net: net.head):
        assert [count_params(part) > 0 for part in layer(free).parts] == [True, True]
        assert [count_params(part) > 0 for part in layer(taken).parts] == [False, True]


def test_fitting_each_part_is_fitting_all_of_them_joined() -> None:
    torch.manual_seed(0)
    net: Any = SMALL.build(small_arch()).eval()
    states = [torch.randn(2, 2, 5, 5), torch.randn(2, 2, 5, 5)]
    plain, halving = nn.Conv2d(4, 4, 1, bias=False), HalvingConv(4, 4)
    # Behind the first normal cell are the reduction cell and a cell of half the side.
    for joined, fit in ((plain, net.cells[1].fit_1), (halving, net.cells[2].fit_0)):
        weights = [part[1].state_dict() for part in fit.parts]
        joined.load_state_dict({name: torch.cat([w[name] for w in weights], dim=1) for name in weights[0]})
        with torch.no_grad():
            torch.testing.assert_close(fit(states), fit.finish(joined(torch.relu(torch.cat(states, dim=1)))))


def test_blocks_combine_their_two_states() -> None:
    net: Any = SMALL.build(small_arch(normal__1__combination="concat", normal__1__input_0="2"))
    add, concat = net.cells[0].blocks
    states = [torch.randn(1, 2, 4, 4) for _ in range(2)]
    first = add(states)
    torch.testing.assert_close(first, states[0] + states[1])
    torch.testing.assert_close(concat([*states, first]), concat.combination.fit(torch.cat([first, states[1]], dim=1)))


def test_a_mixture_weighs_what_is_handed_on() -> None:
    torch.manual_seed(0)
    supernet = Supernet(SMALL).eval()
    x, name = torch.randn(2, 1, 8, 8), "normal.1.input_0"
    arch = small_arch()
    with torch.no_grad():
        for i, option in enumerate(("0", "1", "2")):
            weights = torch.eye(3)[i]
            torch.testing.assert_close(supernet(x, {**arch, name: weights}), supernet(x, {**arch, name: option}))
            alone = Mixture(torch.ones(3), active=[i])
            torch.testing.assert_close(supernet(x, {**arch, name: alone}), supernet(x, {**arch, name: option}))
    weights = torch.full((3,), 1 / 3, requires_grad=True)
    supernet(x, {**arch, name: weights}).square().sum().backward()
    assert weights.grad is not None and weights.grad.abs().min() > 0


def test_the_picture_shows_both_cells() -> None:
    picture = picture_of(NASNet(), NASNET_A)
    panels = ("normal cell", "reduction cell")
    assert tuple(dict.fromkeys(box.panel for box in picture.boxes)) == panels
    joined = {panel: {a.source for a in picture.arrows if a.target == f"{panel}.out"} for panel in panels}
    assert joined == {
        "normal cell": {f"normal cell.{i}" for i in range(2, 7)},
        "reduction cell": {f"reduction cell.{i}" for i in range(4, 7)},
    }
    drawn = [(a.text, int(a.source[-1])) for a in picture.arrows if a.source.startswith("reduction") and a.text]
    assert drawn == REDUCTION
    assert picture.boxes[2].shown == "0\nadd"


def test_both_cells_are_drawn(tmp_path: Path) -> None:
    draw(NASNet(), NASNET_A, tmp_path / "nasnet_a.png")
    assert (tmp_path / "nasnet_a.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "sizes", [{"input_shape": (8, 8)}, {"channels": 0}, {"cells": 0}, {"n_blocks": 0}, {"n_classes": 0}]
)
def test_refuses_impossible_sizes(sizes: dict[str, Any]) -> None:
    with pytest.raises(SpaceError, match="at least 1"):
        NASNet(**sizes)
