"""Fingerprints of values and files: equal for equal content, and cheap where there is much of it."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from enum import Enum
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

MAX_SHOWN = 60
"""Length up to which a value is its own fingerprint, so that a change of it can be shown."""

SAMPLE = 4096
"""Number of elements of an array, or of a collection, that are looked at."""

CHUNK = 2**16
"""Number of bytes at the begin, in the middle and at the end of a file that are looked at."""


def fingerprint_of(value: object) -> str | None:
    """Return a fingerprint of a plain value, of an array, or of a data set in memory; None for anything else.

    Paths are nothing else, since a project may move.
    """
    if isinstance(value, str) and os.path.isabs(value):
        return None
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | Enum | np.generic):
        return _short(repr(value))
    if isinstance(value, np.ndarray | torch.Tensor | pd.DataFrame | pd.Series):
        return _digest(*_sampled(value))
    if isinstance(value, DataLoader):
        parts: Iterable[object] = (value.batch_size, value.dataset)
    elif isinstance(value, Dataset):
        parts = (type(value).__qualname__, *(v for _, v in sorted(vars(value).items())))
    elif isinstance(value, set | frozenset):
        parts = sorted(value, key=repr)
    elif isinstance(value, Mapping):
        parts = (part for item in value.items() for part in item)
    elif isinstance(value, list | tuple):
        parts = (len(value), *value[:: max(1, len(value) // SAMPLE)])
    else:
        return None
    found = [fingerprint_of(part) for part in islice(parts, 3 * SAMPLE)]
    if isinstance(value, Dataset | DataLoader):
        found = [text for text in found if text is not None]
    if None in found:
        return None
    is_short = isinstance(value, list | tuple | Mapping) and len(found) <= MAX_SHOWN // 3
    text = repr(value) if is_short else ""
    return text if text and len(text) <= MAX_SHOWN else _digest(*map(str, found))


def fingerprint_of_path(path: Path) -> str:
    """Return a fingerprint of a file, or of the names and sizes of the files in a folder.

    Raises:
        OSError: if it cannot be read.
    """
    if path.is_dir():
        return _digest(*sorted(f"{file.relative_to(path)} {file.stat().st_size}" for file in _files(path)))
    size = path.stat().st_size
    with path.open("rb") as file:
        chunks = []
        for start in (0, max(size // 2 - CHUNK // 2, 0), max(size - CHUNK, 0)):
            file.seek(start)
            chunks.append(file.read(CHUNK))
    return _digest(str(size), *chunks)


def _files(folder: Path) -> Iterable[Path]:
    for parent, _, names in os.walk(folder):
        yield from (file for name in names if (file := Path(parent, name)).is_file())


def _sampled(value: "np.ndarray | torch.Tensor | pd.DataFrame | pd.Series") -> Iterable[str | bytes]:
    """Return the shape of an array and some of its elements."""
    if isinstance(value, pd.DataFrame | pd.Series):
        some = value.iloc[:: max(1, len(value) // SAMPLE)]
        columns = str(getattr(value, "columns", ""))
        return str(value.shape), columns, pd.util.hash_pandas_object(some).to_numpy().tobytes()
    shape = f"{tuple(value.shape)} {value.dtype}"
    if isinstance(value, torch.Tensor):
        if value.is_meta or value.is_sparse:
            return (shape,)
        flat = value.detach().reshape(-1)
        return shape, repr(flat[:: max(1, flat.numel() // SAMPLE)].cpu().tolist())
    if value.dtype == object:
        return (shape,)
    flat_array = value.reshape(-1)
    return shape, flat_array[:: max(1, flat_array.size // SAMPLE)].tobytes()


def _short(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else _digest(text)


def _digest(*parts: str | bytes) -> str:
    state = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "big") + data)
    return "#" + state.hexdigest()[:12]
