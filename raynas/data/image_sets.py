"""Image data sets by name: read, checked, and split."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from raynas.data.image_arrays import (
    check_every_class,
    check_scales,
    checked_images,
    checked_labels,
    in_memory,
)
from raynas.data.image_folders import read_folder
from raynas.data.image_readers import Arrays, read_digits, read_torchvision
from raynas.data.image_shards import read_shards
from raynas.data.images import ImageData, ImageSplit
from raynas.data.npz import read_npz
from raynas.data.scattered_digits import read_scattered_digits
from raynas.data.splitting import stratified_split
from raynas.data.stored import StoredSet
from raynas.data.streaming import Streaming
from raynas.errors import DataError, UnknownNameError

TEST_SHARE = 0.2
"""Share of the images held out for the test if a source has no test split."""

_MNIST_FILES = (
    "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (unpacked) "
    "below {}/raw"
)
_CIFAR_FILES = "the unpacked {} from https://www.cs.toronto.edu/~kriz/cifar.html"

DATA_SETS: Mapping[str, tuple[Callable[[Path], Arrays], str]] = {
    # A pixel is an eighth of these images: shifting them costs 1 to 3 points of accuracy.
    "digits": (lambda directory: read_digits(), "none"),
    "scattered_digits": (lambda directory: read_scattered_digits(), "none"),
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
"""Data sets by name: their reader, which downloads into a folder if need be, and the augmentation that suits them."""

STORES: Mapping[str, Callable[[Path], StoredSet]] = {"folder": read_folder, "shards": read_shards}
"""Readers of encoded images, which may be streamed, by what their name begins with."""

OTHER_SOURCES = ("npz:PATH", *(f"{kind}:PATH" for kind in STORES), "module:function")

N_STATISTICS = 2048
"""Number of training images that mean and standard deviation of encoded images are computed from."""


def load_images(
    name: str,
    *,
    directory: str | Path = "~/.cache/raynas",
    image_size: int = 64,
    valid_share: float = 0.2,
    streaming: Streaming | None = None,
) -> ImageData:
    """Load a data set, check it, and hold out the splits that it lacks.

    Args:
        name: a key of ``DATA_SETS``, ``npz:PATH``, ``folder:PATH`` or ``shards:PATH``.
        directory: folder of downloads.
        image_size: height and width that the images of a folder or of shards are resized to, in pixels.
        valid_share: share of the training images to hold out for validation if the source has no validation split.
        streaming: settings of a folder that is larger than memory; None for the usual ones.

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
    elif kind in STORES and colon:
        stored = (streaming or Streaming()).splits(STORES[kind](path), image_size)
        n_classes = int(stored["train"].labels.max()) + 1
        _check_labels(stored, n_classes, name)
        return _with_held_out(stored, f"{kind}:{path}", n_classes, "crop_flip", valid_share, N_STATISTICS)
    elif name in DATA_SETS:
        read, augment = DATA_SETS[name]
        arrays = read(Path(directory).expanduser().resolve())
    else:
        check_is_no_path(name)
        raise UnknownNameError("data set", name, [*DATA_SETS, *OTHER_SOURCES])
    splits, n_classes = _checked(arrays, name, n_named)
    # Grey images are digits and letters, more often than not: a mirrored one is another.
    augment = augment or ("shift" if splits["train"].images.shape[-1] == 1 else "crop_flip")
    return _with_held_out(splits, name, n_classes, augment, valid_share)


def check_is_no_path(name: str) -> None:
    """Check that a name of data is not the bare path of a folder or file.

    Raises:
        DataError: if it is one; it says how to write that.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        raise DataError(f"data {name!r} is a folder; for images in it write folder:{name}")
    if path.is_file():
        kind = {".npz": "npz", ".tar": "shards"}.get(path.suffix.casefold())
        hint = f"write {kind}:{name}" if kind else "data is read from npz:FILE, folder:FOLDER or module:function"
        raise DataError(f"data {name!r} is a file; {hint}")


def _checked(arrays: Arrays, name: str, n_named: int | None) -> tuple[dict[str, ImageSplit], int]:
    """Return the splits as raynas keeps them, and the number of classes."""
    is_file = name.startswith("npz:")
    where = {part: f"{name}: x_{part}" if is_file else f"{name}: {part} images" for part in arrays}
    images = {part: checked_images(images, where[part]) for part, (images, _) in arrays.items()}
    for part, others in images.items():
        if _kind(others) != _kind(images["train"]):
            raise DataError(
                f"{name}: {part} images are {_shown(others)}, those of train {_shown(images['train'])}; make them alike"
            )
    kept = in_memory(images, where)
    if is_file:
        check_scales(kept, where)
    splits = {}
    for part, (_, labels) in arrays.items():
        labels = checked_labels(labels, len(kept[part]), where[part].replace("x_", "y_", 1))
        splits[part] = ImageSplit(kept[part], labels)
    n_classes = n_named or int(splits["train"].labels.max()) + 1
    _check_labels(splits, n_classes, name)
    return splits, n_classes


def _check_labels(splits: Mapping[str, ImageSplit], n_classes: int, name: str) -> None:
    for part, split in splits.items():
        if (highest := split.labels.max()) >= n_classes:
            classes = f"{n_classes} classes (0 to {n_classes - 1})"
            raise DataError(f"{name}: {part} holds label {highest}, but there are {classes}")
    check_every_class(splits["train"].labels, n_classes, name)


def _kind(images: NDArray[Any]) -> tuple[bool, tuple[int, ...]]:
    return images.dtype.kind == "f", images.shape[1:]


def _shown(images: NDArray[Any]) -> str:
    return f"{images.dtype} of {'x'.join(map(str, images.shape[1:]))}"


def _with_held_out(
    splits: dict[str, ImageSplit],
    name: str,
    n_classes: int,
    augment: str,
    valid_share: float,
    n_statistics: int | None = None,
) -> ImageData:
    for part, share in (("test", TEST_SHARE), ("valid", valid_share)):
        if part not in splits:
            train = splits["train"]
            kept, held_out = stratified_split(train.labels, share)
            if not len(held_out):
                raise DataError(f"{name}: {len(train)} training images are too few to hold out a {part} split")
            splits |= {"train": train.take(kept), part: train.take(held_out)}
    mean, std = splits["train"].statistics(n_statistics)
    return ImageData(
        name=name, **splits, n_classes=n_classes, mean=mean, std=std, augment=augment, n_statistics=n_statistics
    )
