"""Images in memory: named data sets, checked, split, and small enough to share with every trial."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from raynas.data.sources import Arrays, read_digits, read_folder, read_npz, read_torchvision
from raynas.errors import DataError, UnknownNameError

TEST_SHARE = 0.2
"""How much is held out for the test where a source has no test split of its own."""

SPLIT_SEED = 0
"""The held-out splits must not depend on a run's seed: a test image of one run would be trained on in the next."""


@dataclass(frozen=True, eq=False)
class Split:
    """Some images and their labels.

    Args:
        images: as stored, shape ``(n, height, width, channels)``, uint8 or float32; may be read-only.
        labels: from 0 to n_classes - 1, shape ``(n,)``, int64.
    """

    images: NDArray[Any]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> "Split":
        """The examples at ``indices``, copied."""
        return Split(self.images[indices], self.labels[indices])

    def resized(self, resolution: int) -> "Split":
        """The same with images of ``resolution`` pixels on each side."""
        return Split(resized(self.images, resolution), self.labels)


@dataclass(frozen=True, eq=False, kw_only=True)
class Data:
    """A data set for image classification.

    Args:
        name: what the user calls it.
        train: what is trained on.
        valid: what a search compares architectures by.
        test: what the search never sees; None where it was left out, as for trials.
        n_classes: how many classes there are.
        mean: of each channel of the training images, in the units they are stored in.
        std: the standard deviation, likewise.
        augment: the augmentation that suits these images, a key of ``AUGMENTATIONS``.
    """

    name: str
    train: Split
    valid: Split
    test: Split | None
    n_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: str

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of an example: ``(channels, height, width)``."""
        height, width, channels = self.train.images.shape[1:]
        return channels, height, width

    def without_test(self) -> "Data":
        """The same without the test split: what trials get."""
        return replace(self, test=None)

    def for_final_training(self) -> "Data":
        """The same with the validation split trained on too; without a test split, the validation split becomes it."""
        if self.test is None:
            return replace(self, test=self.valid)
        images = np.concatenate([self.train.images, self.valid.images])
        return replace(self, train=Split(images, np.concatenate([self.train.labels, self.valid.labels])))

    def reduced(self, fraction: float = 1.0, resolution: int | None = None) -> "Data":
        """The same at lower fidelity.

        Args:
            fraction: share of the training images to keep, of each class alike.
            resolution: height and width in pixels to resize all images to, once; None leaves them.
        """
        data = self
        if fraction < 1:
            keep, _ = stratified_split(self.train.labels, 1 - fraction)
            data = replace(data, train=self.train.take(keep))
        if resolution is None or self.input_shape[1:] == (resolution, resolution):
            return data
        train, valid = data.train.resized(resolution), data.valid.resized(resolution)
        test = data.test.resized(resolution) if data.test else None
        mean, std = channel_statistics(train.images)
        return replace(data, train=train, valid=valid, test=test, mean=mean, std=std)


_MNIST_FILES = (
    "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (unpacked) "
    "below {}/raw"
)
_CIFAR_FILES = "the unpacked {} from https://www.cs.toronto.edu/~kriz/cifar.html"

DATA_SETS: Mapping[str, tuple[Callable[[Path], Arrays], str]] = {
    # A pixel is an eighth of these images: shifting them costs 1 to 3 points of accuracy.
    "digits": (lambda directory: read_digits(), "none"),
    "mnist": (partial(read_torchvision, "mnist", "MNIST", _MNIST_FILES.format("MNIST")), "shift"),
    "fashion_mnist": (
        partial(read_torchvision, "fashion_mnist", "FashionMNIST", _MNIST_FILES.format("FashionMNIST")),
        "shift",
    ),
    "cifar10": (
        partial(read_torchvision, "cifar10", "CIFAR10", _CIFAR_FILES.format("cifar-10-batches-py")),
        "crop_flip",
    ),
    "cifar100": (
        partial(read_torchvision, "cifar100", "CIFAR100", _CIFAR_FILES.format("cifar-100-python")),
        "crop_flip",
    ),
}
"""Data sets by name: what reads them from a folder (downloading if need be), and the augmentation that suits them."""

OTHER_SOURCES = ("npz:PATH", "folder:PATH", "module:function")


def load_data(
    name: str, *, directory: str | Path = "~/.cache/raynas", image_size: int = 64, valid_share: float = 0.2
) -> Data:
    """Load a data set into memory, check it, and hold out what it does not hold out itself.

    Args:
        name: a key of ``DATA_SETS``, ``npz:PATH`` or ``folder:PATH``.
        directory: where downloads are kept.
        image_size: height and width that the images of a folder are resized to, in pixels.
        valid_share: share of the training images to hold out for validation where the source has no validation split.

    Raises:
        DataError: if the data is missing, empty or malformed.
        UnknownNameError: if there is no data set of that name.
    """
    kind, colon, path_name = name.partition(":")
    path = Path(path_name).expanduser().resolve()
    augment, n_named = "", None
    if kind == "npz" and colon:
        arrays, n_named = read_npz(path)
        name = f"npz:{path}"
    elif kind == "folder" and colon:
        arrays, name = read_folder(path, image_size), f"folder:{path}"
    elif name in DATA_SETS:
        read, augment = DATA_SETS[name]
        arrays = read(Path(directory).expanduser().resolve())
    else:
        raise UnknownNameError("data set", name, [*DATA_SETS, *OTHER_SOURCES])
    splits, n_classes = _checked(arrays, name, n_named)
    # Grey images are digits and letters, more often than not: a mirrored one is another.
    augment = augment or ("shift" if splits["train"].images.shape[-1] == 1 else "crop_flip")
    return _with_held_out(splits, name, n_classes, augment, valid_share)


def _with_held_out(splits: dict[str, Split], name: str, n_classes: int, augment: str, valid_share: float) -> Data:
    for part, share in (("test", TEST_SHARE), ("valid", valid_share)):
        if part not in splits:
            train = splits["train"]
            kept, held_out = stratified_split(train.labels, share)
            if not len(held_out):
                raise DataError(f"{name}: {len(train)} training images are too few to hold out a {part} split")
            splits |= {"train": train.take(kept), part: train.take(held_out)}
    mean, std = channel_statistics(splits["train"].images)
    return Data(name=name, **splits, n_classes=n_classes, mean=mean, std=std, augment=augment)


# --- checks ----------------------------------------------------------------------------------------------------------


def _checked(arrays: Arrays, name: str, n_named: int | None) -> tuple[dict[str, Split], int]:
    """The splits as raynas keeps them, and the number of classes."""
    splits = {}
    for part, (images, labels) in arrays.items():
        where = f"{name}: x_{part}" if name.startswith("npz:") else f"{name}: {part} images"
        kept = checked_images(images, where)
        splits[part] = Split(kept, checked_labels(labels, len(kept), where.replace("x_", "y_", 1)))
    train = splits["train"]
    for part, split in splits.items():
        if split.images.shape[1:] != train.images.shape[1:] or split.images.dtype != train.images.dtype:
            raise DataError(
                f"{name}: {part} images are {_kind(split.images)}, those of train {_kind(train.images)}; "
                "make them alike"
            )
    n_classes = n_named or int(train.labels.max()) + 1
    for part, split in splits.items():
        if split.labels.max() >= n_classes:
            raise DataError(
                f"{name}: {part} holds label {split.labels.max()}, but there are {n_classes} classes (0 to "
                f"{n_classes - 1})"
            )
    _check_every_class(train.labels, n_classes, name)
    return splits, n_classes


def _check_every_class(labels: NDArray[np.int64], n_classes: int, name: str) -> None:
    present = np.unique(labels)
    if len(present) < 2 or n_classes < 2:
        raise DataError(f"{name}: the training labels hold {len(present)} class; there must be at least 2")
    if len(present) < n_classes:
        missing = next(i for i in range(n_classes) if i >= len(present) or present[i] != i)
        raise DataError(
            f"{name}: no training image has label {missing}, although labels go up to {n_classes - 1}; number the "
            "classes from 0 without gaps"
        )


def checked_images(images: NDArray[Any], where: str) -> NDArray[Any]:
    """Images as raynas keeps them: ``(n, height, width, channels)``, uint8 or float32.

    Raises:
        DataError: if shape or values cannot be those of images; ``where`` says which.
    """
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4:
        raise DataError(f"{where} must have shape (n, height, width[, channels]), got {images.shape}")
    if 0 in images.shape:
        raise DataError(f"{where} is empty: shape {images.shape}")
    if images.shape[1] in (1, 3) and images.shape[3] > 4:
        raise DataError(f"{where} has shape {images.shape}, channels first; transpose to (n, height, width, channels)")
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind in "iu" and images.min() >= 0 and images.max() <= 255:
        return images.astype(np.uint8)
    if images.dtype.kind != "f":
        raise DataError(f"{where} must be uint8 (0 to 255) or float, got {images.dtype}")
    if not np.isfinite(images).all():
        raise DataError(f"{where} holds values that are NaN or infinite")
    return images.astype(np.float32, copy=False)


def checked_labels(labels: NDArray[Any], n_images: int, where: str) -> NDArray[np.int64]:
    """Labels as raynas keeps them: ``(n,)``, int64, not negative.

    Raises:
        DataError: if they are not integers, negative, or not one per image; ``where`` says which.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or len(labels) != n_images:
        raise DataError(f"{where} must hold one label per image, shape ({n_images},), got {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise DataError(f"{where} must hold whole numbers from 0, got {labels.dtype}; convert with .astype('int64')")
    if labels.min() < 0:
        raise DataError(f"{where} holds label {labels.min()}; number the classes from 0")
    return labels.astype(np.int64)


def _kind(images: NDArray[Any]) -> str:
    return f"{images.dtype} of {'x'.join(map(str, images.shape[1:]))}"


# --- arithmetic ------------------------------------------------------------------------------------------------------


def stratified_split(labels: NDArray[np.int64], share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of what stays and of what is held out: ``share`` of each class, seeded, both in ascending order.

    Of a class with at least two examples, at least one stays and at least one is held out.
    """
    rng = np.random.default_rng(SPLIT_SEED)
    held_out = np.zeros(len(labels), dtype=bool)
    by_class = np.argsort(labels, kind="stable")
    _, starts = np.unique(labels[by_class], return_index=True)
    for members in np.split(by_class, starts[1:]):
        n = min(max(round(share * len(members)), 1), len(members) - 1)
        held_out[rng.permutation(members)[:n]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def channel_statistics(images: NDArray[Any], chunk: int = 4096) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel; a constant channel counts as having deviation 1."""
    total = np.zeros(images.shape[-1])
    squares = np.zeros(images.shape[-1])
    for start in range(0, len(images), chunk):
        part = images[start : start + chunk].reshape(-1, images.shape[-1]).astype(np.float64)
        total += part.sum(axis=0)
        squares += np.square(part).sum(axis=0)
    n = images[..., 0].size
    mean = total / n
    std = np.sqrt(np.maximum(squares / n - mean**2, 0))
    return tuple(mean.tolist()), tuple(np.where(std > 1e-6 * (1 + np.abs(mean)), std, 1.0).tolist())


def resized(images: NDArray[Any], resolution: int, chunk: int = 1024) -> NDArray[Any]:
    """The images with ``resolution`` pixels on each side: means over areas to shrink, bilinear to grow."""
    shrinks = resolution <= min(images.shape[1:3])
    mode: dict[str, Any] = {"mode": "area"} if shrinks else {"mode": "bilinear", "align_corners": False}
    out = np.empty((len(images), resolution, resolution, images.shape[-1]), images.dtype)
    for start in range(0, len(images), chunk):
        part = torch.from_numpy(images[start : start + chunk].astype(np.float32)).permute(0, 3, 1, 2)
        small = functional.interpolate(part, size=(resolution, resolution), **mode).permute(0, 2, 3, 1).numpy()
        out[start : start + chunk] = small.round() if out.dtype == np.uint8 else small
    return out
