"""The table of what varies in a converted model."""

import pytest
import torch
from torch import Tensor, nn

from raynas.converting import ConvertedSpace, convert
from raynas.converting.summary import SHARES, rows_of
from raynas.metrics.module_macs import macs_by_module


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(8, 16, bias=False), nn.Linear(16, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.down(self.up(x).relu())
        return y


@pytest.fixture(scope="module")
def space() -> ConvertedSpace:
    """8 features through two blocks of 256 weights each, to 2 outputs by 16 weights: 528 in all."""
    model = nn.Sequential(nn.Sequential(Block(), Block()), nn.Linear(8, 2, bias=False))
    return convert(model, torch.rand(4, 8), keep=["0.0.up"])


def test_shares(space: ConvertedSpace) -> None:
    rows = {row.name: row for row in rows_of(space.plan, macs_by_module(space.plan.wiring.model, space.inputs))}
    assert rows.keys() == {"0.1.up.width", "0.depth"}
    width, depth = rows["0.1.up.width"], rows["0.depth"]
    assert (width.layers, width.options) == (("0.1.up", "0.1.down"), (16, 8))
    assert width.params == width.macs == 256 / 528
    assert (depth.layers, depth.options) == (("0.0", "0.1"), (2, 1))
    assert depth.params == depth.macs == 512 / 528


def test_the_table(space: ConvertedSpace) -> None:
    assert space.summary().splitlines() == [
        "Sequential: 1 width, 1 depth, 4 members",
        "  group         layers            options  params   MACs",
        "  0.1.up.width  0.1.up, 0.1.down  16 8      48.5%  48.5%",
        "  0.depth       0.0, 0.1          2 1       97.0%  97.0%",
        f"  {SHARES}",
        *(f"  fixed: {each.name}: {each.reason}" for each in space.fixed),
    ]
    assert space.fixed


def test_a_long_table_is_cut_to_the_largest_shares(space: ConvertedSpace) -> None:
    text = space.summary(max_rows=1)
    assert "0.depth" in text and "0.1.up.width" not in text
    assert "and 1 more with smaller shares: space.summary() has all" in text
