"""plain_state(): what a trial saves, in types that a checkpoint can hold and that no code is needed to read."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from raynas.errors import RaynasError


def plain_state(value: object, name: str) -> Any:
    """Return a value with mappings as dicts, sequences as lists and tuples; tensors are not copied.

    Args:
        value: tensors, numbers, texts and None, in mappings, lists and tuples.
        name: of the value, for the message.

    Raises:
        RaynasError: if there is anything else in it; names the entry.
    """
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str | int | float | bool):
                raise RaynasError(f"{name} has the key {key!r}: keys must be texts or numbers")
        return {key: plain_state(entry, f"{name}[{key!r}]") for key, entry in value.items()}
    if isinstance(value, list | tuple):
        entries = [plain_state(entry, f"{name}[{i}]") for i, entry in enumerate(value)]
        return tuple(entries) if isinstance(value, tuple) else entries
    if value is None or isinstance(value, Tensor | str | int | float | bool):
        return value
    raise RaynasError(
        f"{name} is a {type(value).__name__}, which a checkpoint cannot hold: save tensors, numbers, texts, dicts and "
        "lists, such as its state_dict()"
    )
