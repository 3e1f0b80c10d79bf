"""ImageBatches: batches of images, normalised and augmented as a whole."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raynas.data.augment import AUGMENTATIONS, Augmentation
from raynas.data.batches import Batch, Batches, examine_batch, share_of_batch
from raynas.data.image_arrays import Images
from raynas.data.moving import ahead, fits, moved
from raynas.data.streamed_images import StreamedImages
from raynas.errors import DataError
from raynas.seeds import seed_of

if TYPE_CHECKING:
    from raynas.data.images import ImageData, ImageSplit


@dataclass(frozen=True, kw_only=True)
class ImageBatches(Batches):
    """Batches of images; those in memory are gathered without a DataLoader, whose workers cost more than they do.

    On a GPU, images in memory that take little of its free memory are kept there; others are moved ahead of their use.

    Args:
        data: the images; only read.
        batch_size: size of training batches; an epoch drops the rest that does not fill one.
        augment: a key of ``AUGMENTATIONS``, or "auto" for the one that suits the data.
        device: device of the batches.
        rank: number of the worker that trains on its share of each batch.
        n_workers: number of those workers.
    """

    data: "ImageData"
    batch_size: int
    augment: str
    device: torch.device
    rank: int = 0
    n_workers: int = 1

    @property
    def n_steps(self) -> int:
        return max(len(self.data.train) // self.batch_size, 1)

    @property
    def has_fixed_shapes(self) -> bool:
        return True

    def share(self, rank: int, n: int) -> "ImageBatches":
        return replace(self, rank=rank, n_workers=n)

    def train(self, seed: int) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(seed)
        augment = AUGMENTATIONS[self.data.augment if self.augment == "auto" else self.augment]
        split = self.data.train
        labels = split.labels
        order = torch.randperm(len(labels), generator=generator).numpy()
        steps = [order[step * self.batch_size : (step + 1) * self.batch_size] for step in range(self.n_steps)]
        if self.n_workers > 1:
            steps = [chosen[share_of_batch(len(chosen), self.rank, self.n_workers)] for chosen in steps]
            generator.manual_seed(seed_of(seed, "worker", self.rank))
        if self._resident(split):
            yield from self._gathered(split, steps, augment, generator)
            return
        fill = self._fill

        def move(batch: Batch) -> Batch:
            images, targets = batch
            n, height, width, _ = images.shape
            drawn = augment.draw(n, height, width, generator)
            images, drawn, targets = (moved(tensor, self.device) for tensor in (images, drawn, targets))
            return self._normalised(augment.apply(images, fill, drawn)), targets

        yield from ahead(self._read(split, steps), move, self.device)

    def examine(self, part: str) -> Iterator[Batch]:
        split = self.data.valid if part == "valid" else self.data.test
        if split is None:
            raise DataError(f"{self.data.name}: the {part} split is not here")
        size = examine_batch(self.device, 4 * math.prod(split.images.shape[1:]))
        parts = [np.arange(start, min(start + size, len(split))) for start in range(0, len(split), size)]
        if self._resident(split):
            images, labels = self._on_device(split)
            for indices in parts:
                chosen = slice(indices[0], indices[-1] + 1)
                # Copied, as floats would be normalised where they are.
                yield self._normalised(images[chosen].to(torch.float32, copy=True)), labels[chosen]
            return

        def move(batch: Batch) -> Batch:
            return self._normalised(moved(batch[0], self.device)), moved(batch[1], self.device)

        yield from ahead(self._read(split, parts), move, self.device)

    # --- on a GPU --------------------------------------------------------------------------------------------------

    def _gathered(
        self, split: "ImageSplit", steps: Sequence[NDArray[np.int64]], augment: Augmentation, generator: torch.Generator
    ) -> Iterator[Batch]:
        """Yield batches of images that are on the device, which order and augmentation of an epoch reach at once."""
        images, labels = self._on_device(split)
        sizes = [len(chosen) for chosen in steps]
        order = moved(torch.from_numpy(np.concatenate(steps)), self.device).split(sizes)
        _, height, width, _ = images.shape
        numbers = torch.cat([augment.draw(size, height, width, generator) for size in sizes])
        for chosen, drawn in zip(order, moved(numbers, self.device).split(sizes), strict=True):
            batch = augment.apply(images.index_select(0, chosen), self._fill, drawn)
            yield self._normalised(batch), labels.index_select(0, chosen)

    def _resident(self, split: "ImageSplit") -> bool:
        """Return True if the images of a split are kept on the device: those that are there, or fit well."""
        if isinstance(split.images, StreamedImages):
            return False
        return id(split) in self._placed or fits(split.images.nbytes, self.device)

    def _on_device(self, split: "ImageSplit") -> tuple[Tensor, Tensor]:
        """Return images and labels on the device, moved once."""
        if id(split) not in self._placed:
            self._placed[id(split)] = (
                torch.tensor(split.images, device=self.device),
                torch.tensor(split.labels, device=self.device),
            )
        return self._placed[id(split)]

    @cached_property
    def _placed(self) -> dict[int, tuple[Tensor, Tensor]]:
        """Images and labels on the device, by the identity of their split, which ``data`` keeps."""
        return {}

    # --- a batch ---------------------------------------------------------------------------------------------------

    def _read(self, split: "ImageSplit", steps: Sequence[NDArray[np.int64]]) -> Iterator[Batch]:
        """Yield images and labels on the CPU."""
        labels = (torch.from_numpy(split.labels[chosen]) for chosen in steps)
        return zip(read_batches(split.images, steps), labels, strict=True)

    @cached_property
    def _fill(self) -> Tensor:
        """The mean of each channel, in the type of the images."""
        fill = torch.tensor(self.data.mean)
        is_bytes = self.data.train.images.dtype == np.uint8
        return (fill.round().to(torch.uint8) if is_bytes else fill.to(torch.float32)).to(self.device)

    def _normalised(self, images: Tensor) -> Tensor:
        """Return float images of mean 0 and deviation 1, ``(batch, channels, height, width)``.

        A permuted view of images stored channels last is torch's channels_last format: only the conversion copies.
        """
        mean, std = self._statistics
        return images.permute(0, 3, 1, 2).to(torch.float32).sub_(mean).div_(std)

    @cached_property
    def _statistics(self) -> tuple[Tensor, Tensor]:
        mean, std = (torch.tensor(v, device=self.device).view(1, -1, 1, 1) for v in (self.data.mean, self.data.std))
        return mean, std


def read_batches(images: Images | StreamedImages, chosen: Sequence[NDArray[np.int64]]) -> Iterator[Tensor]:
    """Yield copies of the chosen images, a tensor of shape ``(batch, height, width, channels)`` for each batch.

    Arrays from Ray's object store are shared and must never be written to.
    """
    if isinstance(images, StreamedImages):
        return images.batches(chosen)
    return (torch.from_numpy(np.take(images, indices, axis=0)) for indices in chosen)
