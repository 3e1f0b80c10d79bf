"""Weights of a network as safetensors, for those who have no raynas too."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from raynas.files.replacing import Replacing

WEIGHTS = "weights.safetensors"
"""Name of the file."""


def write_weights(weights: Mapping[str, object], path: Path) -> None:
    """Write the tensors of a ``state_dict`` as safetensors, at once or not at all.

    Raises:
        OSError: if the file cannot be written.
    """
    # In torch's usual memory format, and shared parameters written out: safetensors takes no views.
    tensors = {n: t.detach().cpu().contiguous().clone() for n, t in weights.items() if isinstance(t, Tensor)}
    with Replacing(path) as draft:
        save_file(tensors, draft)
