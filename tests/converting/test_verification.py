"""Numbers of a user's modules that hold a width, found by members that run."""

from typing import Any

import torch
from torch import Tensor, nn

from raynas.converting import convert


class Projection(nn.Module):
    """As in the GPT-2 of transformers: the width of the output is a number of the module."""

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf, self.weight = nf, nn.Parameter(torch.randn(nx, nf) / nx**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.weight).view(*x.shape[:-1], self.nf)


class Gated(nn.Module):
    """Its hidden width is a number that equals the residual width in the given model."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out, self.split_size = Projection(32, 16), Projection(16, 16), 16

    def forward(self, x: Tensor) -> Tensor:
        gate, values = self.hidden(x).split(self.split_size, dim=-1)
        y: Tensor = x + self.out(gate.sigmoid() * values)
        return y


def test_a_number_that_is_another_width_in_each_of_several_blocks() -> None:
    space = convert(nn.Sequential(nn.Linear(4, 16), Gated(), Gated(), nn.Linear(16, 2)), torch.rand(2, 4))
    widths = {"0.width": 8, "1.out.width": 8, "2.out.width": 16}
    assert space.plan.widths.keys() == widths.keys()
    member: Any = space.build({**space.default, **widths})
    assert [(each.split_size, each.hidden.nf, each.out.nf) for each in (member[1], member[2])] == [
        (8, 16, 8),
        (16, 32, 8),
    ]
