"""Supernets on arrays that processes share."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raynas.errors import RaynasError, SpaceError, one_line
from raynas.nn import ModelSpace, Supernet
from raynas.nn.stand_ins import shared_parameters, tie

Arrays = Mapping[str, NDArray[Any]]
"""Weights and batch statistics, by their names in the supernet."""


def supernet_on(space: ModelSpace, arrays: Arrays, partial_channels: int = 1) -> Supernet:
    """Return a supernet whose parameters are the given arrays, not copied; they need no gradient.

    Arrays from Ray's object store are memory that all processes of a node share. Only parameters use them: batch
    statistics, which recalibration writes, are copies.

    Args:
        space: the networks, at the size that the arrays have.
        arrays: the weights.
        partial_channels: see ``Supernet``.

    Raises:
        RaynasError: if the arrays are not those of a supernet of the space.
    """
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        supernet = Supernet(space, partial_channels=partial_channels)
    buffers, ties = dict(supernet.named_buffers()), shared_parameters(supernet)
    try:
        tensors = {name: _tensor(array.copy() if name in buffers else array) for name, array in arrays.items()}
        supernet.load_state_dict(tensors, assign=True)
    except (RuntimeError, TypeError) as error:
        raise RaynasError(f"the weights are not those of a supernet of {space.name}: {one_line(error)}") from None
    tie(supernet, ties)  # Assignment gave each name another parameter.
    if left := [name for name, tensor in supernet.named_buffers() if tensor.is_meta]:
        raise SpaceError(f"buffer {left[0]} of {space.name} is not part of its state: register it as persistent")
    return supernet.requires_grad_(False).eval()


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    with warnings.catch_warnings():
        # Torch warns that writing to read-only memory would corrupt it; parameters here are never written to.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(array))
