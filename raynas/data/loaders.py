"""Loaders of the user's own, named as ``module:function`` and made once in each process."""

from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from raynas.errors import DataError, one_line
from raynas.user_code import load_function

Batch = tuple[Tensor, Tensor]
"""Images of shape ``(batch, channels, height, width)`` and labels of shape ``(batch,)``."""


@dataclass(frozen=True)
class Loaders:
    """What ``module:function`` returns: ``(train, valid)`` or ``(train, valid, test)``, loaders or map-style datasets.

    Only the name travels to other processes; each calls the function once and keeps what it returned.

    Args:
        name: ``module:function``.
        input_shape: shape of an example.
        n_classes: how many classes, if the training dataset lists them as ``classes``.
    """

    name: str
    input_shape: tuple[int, ...]
    n_classes: int | None

    @classmethod
    def of(cls, name: str) -> "Loaders":
        """Call the function once and look at its first batch.

        Raises:
            DataError: if it does not return loaders or datasets of images and labels.
            RaynasError: if it cannot be imported.
        """
        train = _parts(name)[0]
        dataset = train if isinstance(train, Dataset) else getattr(train, "dataset", None)
        classes = getattr(dataset, "classes", None)
        for images, _ in batches(name, "train", 1):
            return cls(name, tuple(images.shape[1:]), len(classes) if isinstance(classes, Sized) else None)
        raise DataError(f"{name}: the training loader is empty")


PARTS = ("train", "valid", "test")


@lru_cache(maxsize=1)
def _parts(name: str) -> tuple[Any, ...]:
    function = load_function(name)
    try:
        parts = function()
    except Exception as error:
        raise DataError(f"{name} raised {one_line(error)}") from error
    if not isinstance(parts, tuple | list) or len(parts) not in (2, 3):
        raise DataError(f"{name} must return (train, valid) or (train, valid, test), got {_what(parts)}")
    for part, loader in zip(PARTS, parts, strict=False):
        if not isinstance(loader, Iterable) and not hasattr(loader, "__getitem__"):
            raise DataError(f"{name}: {part} must be a loader or a dataset, got {type(loader).__name__}")
    return tuple(parts)


def has_test(name: str) -> bool:
    """Whether the function returned a test split."""
    return len(_parts(name)) == 3


def n_batches(name: str, part: str, batch_size: int) -> int | None:
    """How many batches a part has; None if it does not say."""
    loader = _loader(name, part, batch_size)
    try:
        return len(loader) if isinstance(loader, Sized) else None
    except TypeError:  # a DataLoader over an IterableDataset without a length
        return None


def batches(name: str, part: str, batch_size: int) -> Iterator[Batch]:
    """The batches of a part; ``batch_size`` counts only where the function returned a dataset.

    Raises:
        DataError: if a batch is not a pair of images and integer labels.
    """
    for batch in _loader(name, part, batch_size):
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise DataError(f"{name}: a batch of {part} must be a pair (images, labels), got {_what(batch)}")
        images, labels = batch
        if not isinstance(images, Tensor) or not isinstance(labels, Tensor):
            raise DataError(f"{name}: a batch of {part} must hold tensors, got {_what(images)} and {_what(labels)}")
        if labels.ndim != 1 or len(labels) != len(images) or labels.is_floating_point():
            raise DataError(
                f"{name}: a batch of {part} must hold one whole-number label per image, got labels of shape "
                f"{tuple(labels.shape)} and type {labels.dtype} for images of shape {tuple(images.shape)}"
            )
        yield images if images.is_floating_point() else images.float(), labels.long()


def _loader(name: str, part: str, batch_size: int) -> Iterable[Any]:
    loader: Any = _parts(name)[PARTS.index(part)]
    is_dataset = isinstance(loader, Dataset) or not isinstance(loader, Iterable)
    if not is_dataset:
        return loader  # type: ignore[no-any-return]
    in_order = part != "train" or isinstance(loader, IterableDataset)
    drop_last = part == "train" and _fills(loader, batch_size)
    return DataLoader(loader, batch_size, shuffle=not in_order, drop_last=drop_last)


def _fills(dataset: Any, batch_size: int) -> bool:
    """Whether there is a whole batch; a rest of one example would break batch norm."""
    return isinstance(dataset, Sized) and len(dataset) >= batch_size


def _what(value: Any) -> str:
    name = type(value).__name__
    return f"a {name} of {len(value)}" if isinstance(value, tuple | list) else f"a {name}"
