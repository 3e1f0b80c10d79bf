"""Readers of images, one per kind of source; each returns arrays as they are stored."""

import os
import socket
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raynas.errors import DataError, one_line

Arrays = Mapping[str, tuple[NDArray[Any], NDArray[Any]]]
"""Images and labels of "train" and, where the source has them, "valid" and "test"; not checked yet."""

IMAGE_SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))


def read_digits() -> Arrays:
    """Read the 1,797 handwritten digits of 8 by 8 pixels that are part of scikit-learn."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return {"train": (digits.images.astype(np.uint8), digits.target)}


def read_torchvision(name: str, class_name: str, files: str, directory: Path) -> Arrays:
    """Read a data set of torchvision's, downloaded if it is not in ``directory``.

    Args:
        name: its name in raynas.
        class_name: its class in ``torchvision.datasets``.
        files: the files to put there by hand if there is no network.
        directory: torchvision's root.

    Raises:
        DataError: if torchvision is missing, or the data can neither be found nor downloaded, or is damaged.
    """
    try:
        from torchvision import datasets
    except Exception as error:  # a torchvision that does not pair with torch raises RuntimeError
        raise DataError(
            f"data {name!r} needs torchvision: install the one that pairs with your torch, from where torch came "
            f"({one_line(error)})"
        ) from None
    dataset = getattr(datasets, class_name)
    parts = {}
    for part, train in (("train", True), ("test", False)):
        found = _found_or_downloaded(dataset, train, name, files, directory)
        parts[part] = (np.asarray(found.data), np.asarray(found.targets))
    return parts


def _found_or_downloaded(dataset: Callable[..., Any], train: bool, name: str, files: str, directory: Path) -> Any:
    place = f"put {files} into {directory}, or choose another folder with data_dir"
    try:
        return dataset(str(directory), train=train, download=False)
    except Exception as error:
        if "not found" not in str(error):  # torchvision's words for what a download will mend
            raise DataError(f"data {name!r} in {directory} is damaged ({one_line(error)}): {place}") from None
    try:
        with _network_timeout(seconds=30):
            return dataset(str(directory), train=train, download=True)
    except Exception as error:
        raise DataError(f"cannot download data {name!r} ({one_line(error)}): {place}") from None


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    """Set a timeout: without one, a network that swallows packets lets a download wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def read_npz(path: Path) -> tuple[Arrays, int | None]:
    """Read ``x_train`` and ``y_train``, and the same for ``valid`` and ``test``, from a file of ``numpy.savez``.

    Returns:
        The arrays, and the length of the array ``classes``, if there is one.

    Raises:
        DataError: if the file is missing, damaged, holds Python objects, or lacks an array.
    """
    held = _npz_arrays(path)
    parts = {}
    for part in ("train", "valid", "test"):
        images, labels = held.get(f"x_{part}"), held.get(f"y_{part}")
        if (images is None) != (labels is None) or (images is None and part == "train"):
            raise DataError(
                f"npz:{path} needs both x_{part} and y_{part}; it holds {', '.join(sorted(held)) or 'nothing'}"
            )
        if images is not None and labels is not None:
            parts[part] = (images, labels)
    return parts, len(held["classes"]) if "classes" in held else None


def _npz_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # Opened here, because np.load leaves the file of a broken archive open.
        with path.open("rb") as file:
            held = np.load(file, allow_pickle=False)
            if not isinstance(held, np.lib.npyio.NpzFile):
                raise DataError(f"npz:{path} holds a single array; save several with numpy.savez(path, x_train=…, …)")
            return {name: held[name] for name in held.files}
    except FileNotFoundError:
        raise DataError(f"npz:{path} does not exist") from None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, MemoryError) as error:
        if isinstance(error, DataError):
            raise
        # numpy's own words advise to allow pickles, which could run any code.
        raise DataError(
            f"npz:{path} cannot be read ({type(error).__name__}): it is no whole file of numpy.savez, or it holds "
            "Python objects, which are never loaded; save arrays of numbers with numpy.savez(path, x_train=…, …)"
        ) from None


def read_folder(path: Path, size: int) -> Arrays:
    """Read images in one folder per class, or in such folders below ``train``, ``valid`` (or ``val``) and ``test``.

    Each image is converted to RGB; its shorter side is resized to ``size`` pixels and the middle cut out.

    Raises:
        DataError: if the folder is missing, holds no classes, a class has no images, or an image cannot be read.
    """
    if not path.is_dir():
        raise DataError(f"folder:{path} is not a folder")
    if not (path / "train").is_dir():
        return {"train": _read_classes(path, _class_names(path), size)}
    names = _class_names(path / "train")
    parts = {}
    for part, folders in (("train", ("train",)), ("valid", ("valid", "val")), ("test", ("test",))):
        for folder in folders:
            if (path / folder).is_dir():
                parts[part] = _read_classes(path / folder, names, size)
    return parts


def _class_names(path: Path) -> list[str]:
    names = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(names) < 2:
        raise DataError(f"folder:{path} needs one folder of images per class, at least 2; it has {len(names)}")
    return names


def _read_classes(path: Path, names: list[str], size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    unknown = {entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")} - set(names)
    if unknown:
        raise DataError(f"folder:{path} has class {sorted(unknown)[0]!r}, which train lacks")
    files = [(file, label) for label, name in enumerate(names) for file in _image_files(path / name)]
    images = np.empty((len(files), size, size, 3), np.uint8)
    for i, (file, _) in enumerate(files):
        images[i] = _read_image(file, size)
    return images, np.array([label for _, label in files], dtype=np.int64)


def _image_files(path: Path) -> list[Path]:
    found = sorted(
        Path(folder, name)
        for folder, _, names in os.walk(path, followlinks=True)
        for name in names
        if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")
    )
    if not found:
        raise DataError(f"folder:{path} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return found


def _read_image(file: Path, size: int) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as image:
            return np.asarray(ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BILINEAR))
    except Exception as error:
        raise DataError(f"image {file} cannot be read: {one_line(error)}; repair or remove it") from None
