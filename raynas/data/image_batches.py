"""ImageBatches: batches of images, normalised and augmented as a whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raynas.data.augment import AUGMENTATIONS
from raynas.data.batches import EXAMINE_BATCH, Batch, Batches, share_of_batch
from raynas.data.image_arrays import Images
from raynas.data.streamed_images import StreamedImages
from raynas.errors import DataError
from raynas.seeds import seed_of

if TYPE_CHECKING:
    from raynas.data.images import ImageData


@dataclass(frozen=True, kw_only=True)
class ImageBatches(Batches):
    """Batches of images; those in memory are gathered without a DataLoader, whose workers cost more than they do.

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

    def share(self, rank: int, n: int) -> "ImageBatches":
        return replace(self, rank=rank, n_workers=n)

    def train(self, seed: int) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(seed)
        augment = AUGMENTATIONS[self.data.augment if self.augment == "auto" else self.augment]
        images, labels = self.data.train.images, self.data.train.labels
        is_bytes = images.dtype == np.uint8
        fill = torch.tensor(self.data.mean, device=self.device)
        fill = fill.round().to(torch.uint8) if is_bytes else fill.to(torch.float32)
        order = torch.randperm(len(labels), generator=generator).numpy()
        steps = [order[step * self.batch_size : (step + 1) * self.batch_size] for step in range(self.n_steps)]
        if self.n_workers > 1:
            steps = [chosen[share_of_batch(len(chosen), self.rank, self.n_workers)] for chosen in steps]
            generator.manual_seed(seed_of(seed, "worker", self.rank))
        for batch, chosen in zip(read_batches(images, steps), steps, strict=True):
            augmented = augment(batch.to(self.device), fill, generator)
            yield self._normalised(augmented), torch.from_numpy(labels[chosen]).to(self.device)

    def examine(self, part: str) -> Iterator[Batch]:
        split = self.data.valid if part == "valid" else self.data.test
        if split is None:
            raise DataError(f"{self.data.name}: the {part} split is not here")
        size = EXAMINE_BATCH[self.device.type]
        parts = [np.arange(start, min(start + size, len(split))) for start in range(0, len(split), size)]
        for batch, chosen in zip(read_batches(split.images, parts), parts, strict=True):
            yield self._normalised(batch.to(self.device)), torch.from_numpy(split.labels[chosen]).to(self.device)

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
