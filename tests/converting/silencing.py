"""Models in which what a member lacks is silent."""

import copy

import torch
from torch import nn

from raynas.converting import ConvertedSpace
from raynas.core.architecture import Architecture
from raynas.nn.dimensions.expressions import positions


def silenced(model: nn.Module, space: ConvertedSpace, arch: Architecture) -> nn.Module:
    """Return the model with zeros for all weights of what a member lacks."""
    kept, silent = space.plan.kept(arch), copy.deepcopy(model)
    named = dict(silent.named_parameters())  # deepcopy keeps parameters that are used twice the same
    for name, parameter in model.named_parameters():
        for axis, dimension in enumerate(space.plan.wiring.dimensions[name]):
            mask = torch.zeros(parameter.shape[axis])
            mask[positions(dimension, kept)] = 1
            named[name].data *= mask.view(-1, *[1] * (parameter.ndim - axis - 1))
    return silent
