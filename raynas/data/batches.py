"""Epochs of batches, from arrays in memory or from loaders of the user's."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from raynas.data import loaders
from raynas.data.augment import AUGMENTATIONS
from raynas.data.images import Data, load_data
from raynas.data.loaders import Batch, Loaders
from raynas.errors import DataError

Source = Data | Loaders
"""Where batches come from."""

EXAMINE_BATCH = {"cpu": 128, "cuda": 1024}
"""Batch size of an evaluation. On a CPU, larger ones fall out of its caches: 1024 took 3.7 times as long as 128."""


def load_source(name: str, *, data_dir: str, image_size: int, valid_share: float) -> Source:
    """What a data set's name stands for: arrays, or the user's loaders for ``module:function``.

    Raises:
        DataError: if the data is missing, empty or malformed.
        RaynasError: if the user's code cannot be imported.
        UnknownNameError: if there is no data set of that name.
    """
    kind, colon, _ = name.partition(":")
    if colon and kind not in ("npz", "folder"):
        return Loaders.of(name)
    return load_data(name, directory=data_dir, image_size=image_size, valid_share=valid_share)


class Batches(ABC):
    """The batches of a data set on a device: float32 images in channels_last format, and labels."""

    @property
    @abstractmethod
    def n_steps(self) -> int | None:
        """Training batches in an epoch; None if nobody knows."""

    @abstractmethod
    def train(self, seed: int) -> Iterator[Batch]:
        """An epoch of training batches, shuffled and augmented; ``seed`` decides how."""

    @abstractmethod
    def examine(self, part: str) -> Iterator[Batch]:
        """All of "valid" or "test", in order and as it is."""


@dataclass(frozen=True, kw_only=True)
class ArrayBatches(Batches):
    """Batches gathered from arrays in memory, without a DataLoader, whose workers cost more than small images do.

    Args:
        data: the arrays; they are only ever read.
        batch_size: of training batches; an epoch drops the rest that does not fill one.
        augment: a key of ``AUGMENTATIONS``, or "auto" for what suits the data.
        device: where batches go.
    """

    data: Data
    batch_size: int
    augment: str
    device: torch.device

    @property
    def n_steps(self) -> int:
        return max(len(self.data.train) // self.batch_size, 1)

    def train(self, seed: int) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(seed)
        augment = AUGMENTATIONS[self.data.augment if self.augment == "auto" else self.augment]
        images, labels = self.data.train.images, self.data.train.labels
        fill = torch.tensor(self.data.mean, device=self.device)
        fill = (fill.round() if images.dtype == np.uint8 else fill).to(_torch_dtype(images))
        order = torch.randperm(len(labels), generator=generator).numpy()
        for step in range(self.n_steps):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            batch = augment(gathered(images, chosen).to(self.device), fill, generator)
            yield self._normalised(batch), torch.from_numpy(labels[chosen]).to(self.device)

    def examine(self, part: str) -> Iterator[Batch]:
        split = self.data.valid if part == "valid" else self.data.test
        if split is None:
            raise DataError(f"{self.data.name}: the {part} split is not here")
        size = EXAMINE_BATCH[self.device.type]
        for start in range(0, len(split), size):
            chosen = np.arange(start, min(start + size, len(split)))
            batch = gathered(split.images, chosen).to(self.device)
            yield self._normalised(batch), torch.from_numpy(split.labels[chosen]).to(self.device)

    def _normalised(self, images: Tensor) -> Tensor:
        """Float images of mean 0 and deviation 1, ``(batch, channels, height, width)``.

        Stored channels-last, a permuted view is torch's channels_last format: nothing is copied but the conversion.
        """
        mean, std = self._statistics
        return images.permute(0, 3, 1, 2).to(torch.float32).sub_(mean).div_(std)

    @cached_property
    def _statistics(self) -> tuple[Tensor, Tensor]:
        mean, std = (torch.tensor(v, device=self.device).view(1, -1, 1, 1) for v in (self.data.mean, self.data.std))
        return mean, std


def gathered(images: NDArray[Any], chosen: NDArray[np.int64]) -> Tensor:
    """A copy of the chosen images: arrays from Ray's object store are shared and must never be written to."""
    return torch.from_numpy(np.take(images, chosen, axis=0))


def _torch_dtype(images: NDArray[Any]) -> torch.dtype:
    return torch.uint8 if images.dtype == np.uint8 else torch.float32


@dataclass(frozen=True, kw_only=True)
class LoaderBatches(Batches):
    """Batches of the user's own loaders, which shuffle, augment and normalise as they like.

    Shuffling by torch's own samplers follows torch's generator, which the trainer seeds before each epoch.

    Args:
        loaders: the user's.
        batch_size: counts only for datasets; a loader has its own.
        fraction: share of the training batches to take in each epoch.
        resolution: height and width to resize images to; None leaves them.
        device: where batches go.
        everything: whether to train on the validation split too.
    """

    loaders: Loaders
    batch_size: int
    fraction: float = 1.0
    resolution: int | None = None
    device: torch.device
    everything: bool = False

    @property
    def _train_parts(self) -> list[str]:
        return ["train", "valid"] if self.everything and loaders.has_test(self.loaders.name) else ["train"]

    @property
    def n_steps(self) -> int | None:
        counts = [loaders.n_batches(self.loaders.name, part, self.batch_size) for part in self._train_parts]
        if None in counts:
            if self.fraction < 1:
                raise DataError(f"{self.loaders.name}: data_fraction needs a training loader with a length")
            return None
        return math.ceil(self.fraction * sum(count for count in counts if count is not None))

    def train(self, seed: int) -> Iterator[Batch]:
        name = self.loaders.name
        batches = chain.from_iterable(loaders.batches(name, part, self.batch_size) for part in self._train_parts)
        return (self._prepared(*batch) for batch in islice(batches, self.n_steps))

    def examine(self, part: str) -> Iterator[Batch]:
        if part == "test" and not loaders.has_test(self.loaders.name):
            part = "valid"
        size = EXAMINE_BATCH[self.device.type]
        return (self._prepared(*batch) for batch in loaders.batches(self.loaders.name, part, size))

    def _prepared(self, images: Tensor, labels: Tensor) -> Batch:
        images = images.to(self.device, torch.float32)
        if images.ndim == 4:
            if self.resolution is not None and images.shape[2:] != (self.resolution, self.resolution):
                shrinks = self.resolution <= min(images.shape[2:])
                size = (self.resolution, self.resolution)
                images = functional.interpolate(images, size, mode="area" if shrinks else "bilinear")
            images = images.contiguous(memory_format=torch.channels_last)
        return images, labels.to(self.device)
