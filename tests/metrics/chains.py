"""Spaces of modules in a row, and their costs as they are counted."""

from collections.abc import Callable

import torch
from torch import nn

from raynas import Architecture, ModelSpace
from raynas.core.space import SearchSpace
from raynas.metrics.cost import count_macs, count_params


class Chain(nn.Module):
    """Some modules in a row."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self.parts:
            x = part(x)
        return x


def space_of(*parts: Callable[[], nn.Module]) -> ModelSpace:
    """Return the space of a chain of modules with choices, of images of 6 x 6 pixels and 4 channels."""
    return ModelSpace(lambda: Chain(*(make() for make in parts)), input_shape=(4, 6, 6))


def counted(space: SearchSpace, arch: Architecture) -> tuple[int, int]:
    """Return parameters and multiply-adds of a member, counted."""
    with torch.device("meta"):
        model = space.build(arch)
    return count_params(model), count_macs(model, space.input_shape)
