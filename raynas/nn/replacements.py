"""Modules that take the place of a block of a network: what they compute is less, what they take and give is the same.

They need torch alone, so that a network with them can be written to files that run without raynas.
"""

from typing import Any

import torch
from torch import Tensor, nn


class Zeros(nn.Module):
    """Gives zeros: a branch that is left out of a sum."""

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros of the shape of the input."""
        return torch.zeros_like(x)


class RepeatedOutputs(nn.Module):
    """A layer some of whose outputs are given several times, such as keys and values that several heads share.

    Args:
        layer: computes each output once.
        index: for each output the number of that of the layer.
    """

    index: Tensor

    def __init__(self, layer: nn.Module, index: Tensor) -> None:
        super().__init__()
        self.layer = layer
        self.register_buffer("index", index)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the layer, in the order of the index, in the last dimension."""
        y: Tensor = self.layer(x)
        return y.index_select(-1, self.index)


class InPlaceOf(nn.Module):
    """A layer of one tensor in the place of a block that takes more arguments, or gives a tuple.

    Args:
        layer: is called with the block's first argument.
        name: the name of that argument, where the block gets it by keyword; "" where it comes first.
        n_results: number of results of the block, of which all but the first are None; 0 where it gives no tuple.
    """

    def __init__(self, layer: nn.Module, name: str = "", n_results: int = 0) -> None:
        super().__init__()
        self.layer = layer
        self.name = name
        self.n_results = n_results

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the layer makes of the argument."""
        y = self.layer(kwargs[self.name] if self.name else args[0])
        return (y, *[None] * (self.n_results - 1)) if self.n_results else y
