"""ImageBatches: batches of images in memory, normalised and augmented as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raynas.data.augment import AUGMENTATIONS
from raynas.data.batches import EXAMINE_BATCH, Batch, Batches
from raynas.data.image_arrays import Images
from raynas.errors import DataError

if TYPE_CHECKING:
    from raynas.data.images import ImageData


@dataclass(frozen=True, kw_only=True)
class ImageBatches(Batches):
    """Batches gathered from arrays in memory, without a DataLoader, whose workers cost more than small images do.

    Args:
        data: the arrays; only read.
        batch_size: size of training batches; an epoch drops the rest that does not fill one.
        augment: a key of ``AUGMENTATIONS``, or "auto" for the one that suits the data.
        device: device of the batches.
    """

    data: "ImageData"
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
        is_bytes = images.dtype == np.uint8
        fill = torch.tensor(self.data.mean, device=self.device)
        fill = fill.round().to(torch.uint8) if is_bytes else fill.to(torch.float32)
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
        """Return float images of mean 0 and deviation 1, ``(batch, channels, height, width)``.

        A permuted view of images stored channels last is torch's channels_last format: only the conversion copies.
        """
        mean, std = self._statistics
        return images.permute(0, 3, 1, 2).to(torch.float32).sub_(mean).div_(std)

    @cached_property
    def _statistics(self) -> tuple[Tensor, Tensor]:
        mean, std = (torch.tensor(v, device=self.device).view(1, -1, 1, 1) for v in (self.data.mean, self.data.std))
        return mean, std


def gathered(images: Images, chosen: NDArray[np.int64]) -> Tensor:
    """Copy the chosen images: arrays from Ray's object store are shared and must never be written to."""
    return torch.from_numpy(np.take(images, chosen, axis=0))
