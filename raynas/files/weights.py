"""Weights of a network in a file: written as safetensors, for those who have no raynas too, and read."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from raynas.errors import ContentError, RaynasError, one_line
from raynas.files.content import check_file
from raynas.files.replacing import Replacing
from raynas.files.unpacked import check_ratio, check_zip

WEIGHTS = "weights.safetensors"
"""Name of the file."""

MAX_WEIGHTS_BYTES = 64 * 2**30
"""Largest size of a file of weights: those of a network of 16 billion parameters."""

NESTED = ("state_dict", "model_state_dict", "model")
"""Names under which training scripts save the ``state_dict`` beside other things."""

WRAPPED = "module."
"""Prefix of all names in the ``state_dict`` of a network that was trained in parallel."""


def write_weights(weights: Mapping[str, object], path: Path) -> None:
    """Write the tensors of a ``state_dict`` as safetensors, at once or not at all.

    Raises:
        OSError: if the file cannot be written.
    """
    # In torch's usual memory format, and shared parameters written out: safetensors takes no views.
    tensors = {n: t.detach().cpu().contiguous().clone() for n, t in weights.items() if isinstance(t, Tensor)}
    with Replacing(path) as draft:
        save_file(tensors, draft)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the ``state_dict`` in a file, safetensors or what ``torch.save`` wrote; nothing in it can execute code.

    Args:
        path: the file. A state under one of ``NESTED``, and names with the prefix of parallel training, are found.

    Raises:
        RaynasError: if it is missing, damaged or holds something else.
    """
    try:
        check_file(path, MAX_WEIGHTS_BYTES)
        return _plain_names(load_file(path) if _is_safetensors(path) else _saved_by_torch(path))
    except FileNotFoundError:
        raise RaynasError(f"there are no weights {path}") from None
    except (ContentError, OSError, SafetensorError) as error:
        raise RaynasError(f"{path} cannot be read as weights: {one_line(error)}") from None
    except Exception:  # torch's unpickler raises what its input makes of it
        raise RaynasError(
            f"{path} is damaged, or holds more than tensors, which might run code: save model.state_dict() instead of "
            "the model"
        ) from None


def check_stored(tensor: Tensor) -> None:
    """Refuse a tensor that claims far more than is stored of it.

    Raises:
        ContentError: if it does.
    """
    stored = tensor.untyped_storage().nbytes() if tensor.layout == torch.strided else 0
    check_ratio(stored, tensor.numel() * tensor.element_size())


def _is_safetensors(path: Path) -> bool:
    """Return whether a file has the brace of safetensors' header behind the eight bytes of its length."""
    with path.open("rb") as file:
        return path.suffix == ".safetensors" or file.read(9)[8:] == b"{"


def _saved_by_torch(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as file:
        if zipfile.is_zipfile(file):  # what torch wrote before its release 1.6 is none
            check_zip(file, compressed=False)
        file.seek(0)
        found: Any = torch.load(file, map_location="cpu", weights_only=True)
    for name in NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping):
        raise ContentError(f"it holds a {type(found).__name__}, not the state_dict of a network")
    return found


def _plain_names(found: Mapping[str, Any]) -> dict[str, Tensor]:
    state = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    if not state:
        raise ContentError("it holds no tensors by name")
    for tensor in state.values():
        check_stored(tensor)
    is_wrapped = all(name.startswith(WRAPPED) for name in state)
    return {name.removeprefix(WRAPPED) if is_wrapped else name: tensor for name, tensor in state.items()}
