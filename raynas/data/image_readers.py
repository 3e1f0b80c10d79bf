"""Readers of images, one per kind of source; each returns arrays as they are stored."""

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raynas.errors import DataError, one_line

Arrays = Mapping[str, tuple[NDArray[Any], NDArray[Any]]]
"""Images and labels of "train" and, where the source has them, "valid" and "test"; not checked yet."""


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
        raise DataError(f"data {name!r} needs torchvision: {_how_to_install(error)}") from None
    dataset = getattr(datasets, class_name)
    parts = {}
    for part, train in (("train", True), ("test", False)):
        found = _found_or_downloaded(dataset, train, name, files, directory)
        parts[part] = (np.asarray(found.data), np.asarray(found.targets))
    return parts


def _how_to_install(error: Exception) -> str:
    import torch

    version = torch.__version__
    major, minor = (int(part) for part in version.split(".")[:2])
    pair = f"torchvision==0.{minor + 15}.*" if (major, minor) < (2, 14) else "torchvision>=0.29.1"
    missing = isinstance(error, ModuleNotFoundError) and error.name == "torchvision"
    fault = "it is not installed" if missing else f"the one here was built for another torch ({one_line(error)})"
    return f"{fault}; pip install '{pair}', from where torch came, pairs with your torch {version}"


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
