"""Loaders: loaders or datasets of the user's, named as ``module:function`` and made once in each process."""

import math
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, islice
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, IterableDataset

from raynas.data.batches import EXAMINE_BATCH, Batch, Batches
from raynas.errors import DataError, one_line
from raynas.user_code import load_function

PARTS = ("train", "valid", "test")


@dataclass(frozen=True, kw_only=True)
class Loaders:
    """The return value of ``module:function``: ``(train, valid)`` or ``(train, valid, test)``; a ``Source``.

    Each is a loader or a map-style dataset. Only the name travels to other processes; each calls the function once and
    keeps the value.

    Args:
        name: ``module:function``.
        input_shape: shape of an example.
        n_classes: number of classes, if the training dataset lists them as ``classes``.
        fraction: share of the training batches to take in each epoch.
        resolution: height and width in pixels to resize images to; None keeps them.
        everything: True trains on the validation split too, if there is a test split.
    """

    name: str
    input_shape: tuple[int, ...]
    n_classes: int | None
    fraction: float = 1.0
    resolution: int | None = None
    everything: bool = False

    @classmethod
    def of(cls, name: str) -> "Loaders":
        """Call the function once and look at its first batch.

        Raises:
            DataError: if it does not return loaders or datasets of inputs and labels.
            RaynasError: if it cannot be imported.
        """
        train = _parts(name)[0]
        dataset = train if isinstance(train, Dataset) else getattr(train, "dataset", None)
        classes = getattr(dataset, "classes", None)
        loaders = cls(name=name, input_shape=(), n_classes=len(classes) if isinstance(classes, Sized) else None)
        for inputs, _ in loaders.read("train", 1):
            return replace(loaders, input_shape=tuple(inputs.shape[1:]))
        raise DataError(f"{name}: the training loader is empty")

    @property
    def has_test(self) -> bool:
        """True if the function returned a test split."""
        return len(_parts(self.name)) == 3

    def without_test(self) -> "Loaders":
        """Return the loaders as they are: a search does not ask for their test split."""
        return self

    def for_final_training(self) -> "Loaders":
        """Return the loaders to train on the validation split too, if there is a test split."""
        return replace(self, everything=True)

    def reduced(self, fraction: float = 1.0, resolution: int | None = None) -> "Loaders":
        """Return the loaders at lower fidelity; see ``Source``."""
        shape = self.input_shape if resolution is None else (*self.input_shape[:1], resolution, resolution)
        return replace(self, fraction=fraction, resolution=resolution, input_shape=shape)

    def halves(self) -> NoReturn:
        """Refuse: loaders cannot be split.

        Raises:
            DataError: in any case.
        """
        raise DataError(f"the loaders of {self.name} cannot be halved: give the images as npz:PATH or folder:PATH")

    def batches(self, *, batch_size: int, augment: str, device: torch.device) -> "LoaderBatches":
        """Return the batches; loaders augment by themselves."""
        return LoaderBatches(loaders=self, batch_size=batch_size, device=device)

    def count(self, part: str, batch_size: int) -> int | None:
        """Return the number of batches of a part; None if it is unknown."""
        loader = _loader(self.name, part, batch_size)
        try:
            return len(loader) if isinstance(loader, Sized) else None
        except TypeError:  # a DataLoader over an IterableDataset without a length
            return None

    def read(self, part: str, batch_size: int) -> Iterator[Batch]:
        """Yield the batches of a part; ``batch_size`` counts only where the function returned a dataset.

        Raises:
            DataError: if a batch is not a pair of inputs and integer labels.
        """
        for batch in _loader(self.name, part, batch_size):
            yield _checked(batch, f"{self.name}: a batch of {part}")


@lru_cache(maxsize=1)
def _parts(name: str) -> tuple[Any, ...]:
    function = load_function(name)
    try:
        parts = function()
    except Exception as error:
        raise DataError(f"{name} raised {one_line(error)}") from error
    if not isinstance(parts, tuple | list) or len(parts) not in (2, 3):
        raise DataError(f"{name} must return (train, valid) or (train, valid, test), got {_kind(parts)}")
    for part, loader in zip(PARTS, parts, strict=False):
        if not isinstance(loader, Iterable) and not hasattr(loader, "__getitem__"):
            raise DataError(f"{name}: {part} must be a loader or a dataset, got {type(loader).__name__}")
    return tuple(parts)


def _loader(name: str, part: str, batch_size: int) -> Iterable[object]:
    loader: Any = _parts(name)[PARTS.index(part)]
    is_dataset = isinstance(loader, Dataset) or not isinstance(loader, Iterable)
    if not is_dataset:
        return loader  # type: ignore[no-any-return]
    in_order = part != "train" or isinstance(loader, IterableDataset)
    # A rest of one example would break batch norm.
    drop_last = part == "train" and isinstance(loader, Sized) and len(loader) >= batch_size
    return DataLoader(loader, batch_size, shuffle=not in_order, drop_last=drop_last)


def _checked(batch: object, where: str) -> Batch:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise DataError(f"{where} must be a pair (images, labels), got {_kind(batch)}")
    inputs, labels = batch
    if not isinstance(inputs, Tensor) or not isinstance(labels, Tensor):
        raise DataError(f"{where} must hold tensors, got {_kind(inputs)} and {_kind(labels)}")
    if labels.ndim != 1 or len(labels) != len(inputs) or labels.is_floating_point():
        raise DataError(
            f"{where} must hold one whole-number label per image, got labels of shape {tuple(labels.shape)} and type "
            f"{labels.dtype} for images of shape {tuple(inputs.shape)}"
        )
    return inputs if inputs.is_floating_point() else inputs.float(), labels.long()


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"a {name} of {len(value)}" if isinstance(value, tuple | list) else f"a {name}"


@dataclass(frozen=True, kw_only=True)
class LoaderBatches(Batches):
    """Batches of the user's loaders, which shuffle, augment and normalise by themselves.

    Shuffling by torch's own samplers follows torch's generator, which the trainer seeds before each epoch.

    Args:
        loaders: the loaders.
        batch_size: counts only for datasets; a loader has its own.
        device: device of the batches.
    """

    loaders: Loaders
    batch_size: int
    device: torch.device

    @property
    def _train_parts(self) -> list[str]:
        return ["train", "valid"] if self.loaders.everything and self.loaders.has_test else ["train"]

    @property
    def n_steps(self) -> int | None:
        counts = [self.loaders.count(part, self.batch_size) for part in self._train_parts]
        if None in counts:
            if self.loaders.fraction < 1:
                raise DataError(f"{self.loaders.name}: data_fraction needs a training loader with a length")
            return None
        return math.ceil(self.loaders.fraction * sum(count for count in counts if count is not None))

    def train(self, seed: int) -> Iterator[Batch]:
        batches = chain.from_iterable(self.loaders.read(part, self.batch_size) for part in self._train_parts)
        return (self._prepared(*batch) for batch in islice(batches, self.n_steps))

    def examine(self, part: str) -> Iterator[Batch]:
        if part == "test" and not self.loaders.has_test:
            part = "valid"
        return (self._prepared(*batch) for batch in self.loaders.read(part, EXAMINE_BATCH[self.device.type]))

    def _prepared(self, inputs: Tensor, labels: Tensor) -> Batch:
        inputs = inputs.to(self.device, torch.float32)
        if inputs.ndim == 4:  # images
            side = self.loaders.resolution
            if side is not None and inputs.shape[2:] != (side, side):
                mode = "area" if side <= min(inputs.shape[2:]) else "bilinear"
                inputs = functional.interpolate(inputs, (side, side), mode=mode)
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return inputs, labels.to(self.device)
