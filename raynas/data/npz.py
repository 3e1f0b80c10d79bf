"""Reader of images in files of ``numpy.savez``."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raynas.data.image_readers import Arrays
from raynas.errors import DataError, RaynasError
from raynas.files.content import check_file
from raynas.files.unpacked import MAX_UNPACKED_BYTES, check_zip

PARTS = ("train", "valid", "test")
NAMES = (*(f"{axis}_{part}" for part in PARTS for axis in "xy"), "classes")
"""The arrays that are read; others are not even unpacked."""


def read_npz(path: Path) -> tuple[Arrays, int | None]:
    """Read ``x_train`` and ``y_train``, and the same for ``valid`` and ``test``, from a file of ``numpy.savez``.

    Returns:
        The arrays, and the length of the array ``classes``, if there is one.

    Raises:
        DataError: if the file is missing, damaged, too large once unpacked, holds Python objects, or lacks an array.
    """
    held, names = _arrays(path)
    parts = {}
    for part in PARTS:
        images, labels = held.get(f"x_{part}"), held.get(f"y_{part}")
        if (images is None) != (labels is None) or (images is None and part == "train"):
            raise DataError(
                f"npz:{path} needs both x_{part} and y_{part}; it holds {', '.join(sorted(names)) or 'nothing'}"
            )
        if images is not None and labels is not None:
            parts[part] = (images, labels)
    classes = held.get("classes")
    if classes is not None and (classes.ndim != 1 or not len(classes)):
        raise DataError(f"npz:{path}: classes must list the names of the classes, got shape {classes.shape}")
    return parts, None if classes is None else len(classes)


def _arrays(path: Path) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return the arrays that are read, and the names of all."""
    try:
        check_file(path, MAX_UNPACKED_BYTES)
        # Opened here, because np.load leaves the file of a broken archive open.
        with path.open("rb") as file:
            if file.read(6) == b"\x93NUMPY":
                raise DataError(f"npz:{path} holds a single array; save several with numpy.savez(path, x_train=…, …)")
            check_zip(file)
            held = np.load(file, allow_pickle=False)
            arrays = {name: held[name] for name in NAMES if name in held.files}
        if wrong := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
            raise DataError(f"npz:{path}: {wrong[0]} is no array; save arrays with numpy.savez(path, x_train=…, …)")
        return arrays, held.files
    except FileNotFoundError:
        raise DataError(f"npz:{path} does not exist") from None
    except RaynasError as error:
        raise error if isinstance(error, DataError) else DataError(f"npz:{path} is not read: {error}") from None
    except Exception as error:  # of zipfile, zlib, or of Python's tokenizer, which reads the header of an array
        # numpy's own words advise to allow pickles, which could run any code.
        raise DataError(
            f"npz:{path} cannot be read ({type(error).__name__}): it is no whole file of numpy.savez, or it holds "
            "Python objects, which are never loaded; save arrays of numbers with numpy.savez(path, x_train=…, …)"
        ) from None
