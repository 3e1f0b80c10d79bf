"""Weights of a trained network, loaded into a network of a space."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError, one_line


def with_weights(space: SearchSpace, arch: Architecture, weights: Mapping[str, Tensor]) -> nn.Module:
    """Return the network of an architecture with these weights, on the CPU and in eval mode.

    Raises:
        RaynasError: if they are not those of the network.
    """
    with torch.random.fork_rng(devices=[]):
        model = space.build(arch)
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:  # what a damaged checkpoint holds may be anything
        raise RaynasError(
            f"the weights of {arch.key} do not fit the network that {space.name} builds: {one_line(error)}"
        ) from None
    return model.eval()
