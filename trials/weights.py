"""Weights of a trained network: loaded into a network of a space, and written for those who have no raynas."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError, one_line
from raynas.files.replacing import Replacing

WEIGHTS = "weights.safetensors"
"""Name of the file."""


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


def write_weights(weights: Mapping[str, object], path: Path) -> None:
    """Write the tensors of a ``state_dict`` as safetensors, at once or not at all.

    Raises:
        OSError: if the file cannot be written.
    """
    # In torch's usual memory format, and shared parameters written out: safetensors takes no views.
    tensors = {n: t.detach().cpu().contiguous().clone() for n, t in weights.items() if isinstance(t, Tensor)}
    with Replacing(path) as draft:
        save_file(tensors, draft)
