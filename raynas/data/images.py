"""ImageData: labelled images in memory, split, and small enough to share with every trial."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from raynas.core.inputs import Inputs, InputSpec, TensorSpec
from raynas.data.image_arrays import Images, Labels, channel_statistics, resized
from raynas.data.image_batches import ImageBatches
from raynas.data.splitting import stratified_split


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """Images and their labels.

    Args:
        images: see ``Images``.
        labels: see ``Labels``.
    """

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> "ImageSplit":
        """Copy the examples at ``indices``."""
        return ImageSplit(self.images[indices], self.labels[indices])

    def resized(self, resolution: int) -> "ImageSplit":
        """Return the split with images of ``resolution`` pixels on each side."""
        return ImageSplit(resized(self.images, resolution), self.labels)


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageData:
    """A data set for image classification; a ``Source``.

    Args:
        name: the user's name for it.
        train: the training split.
        valid: the split that a search compares architectures on.
        test: the split that a search never sees; None where it was left out, as for trials.
        n_classes: number of classes.
        mean: mean of each channel of the training images, in the units they are stored in.
        std: standard deviation of each channel, likewise.
        augment: the augmentation that suits these images, a key of ``AUGMENTATIONS``.
    """

    name: str
    train: ImageSplit
    valid: ImageSplit
    test: ImageSplit | None
    n_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: str

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of an example: ``(channels, height, width)``."""
        height, width, channels = self.train.images.shape[1:]
        return channels, height, width

    @property
    def inputs(self) -> InputSpec:
        """Description of the inputs: one image."""
        return TensorSpec(self.input_shape)

    def for_inputs(self, dtypes: Sequence[torch.dtype]) -> "ImageData":
        """Return the data: images are real numbers, whatever networks take."""
        return self

    def check(self, fits: Callable[[Inputs], bool], n_outputs: int | None) -> None:
        """Refuse nothing: all images have one shape, and the labels were counted."""

    def without_test(self) -> "ImageData":
        """Return the data for a search: without the test split."""
        return replace(self, test=None)

    def for_final_training(self) -> "ImageData":
        """Return the data with the validation split as a part of the training split.

        Without a test split, the validation split becomes the test split instead.
        """
        if self.test is None:
            return replace(self, test=self.valid)
        images = np.concatenate([self.train.images, self.valid.images])
        return replace(self, train=ImageSplit(images, np.concatenate([self.train.labels, self.valid.labels])))

    def reduced(self, fraction: float = 1.0, resolution: int | None = None) -> "ImageData":
        """Return the data at lower fidelity.

        Args:
            fraction: share of the training images to keep, of each class alike.
            resolution: height and width in pixels to resize all images to, once; None keeps them.
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

    def halves(self) -> tuple["ImageData", "ImageData"]:
        """Return the data with either half of the training images; the split follows from the labels alone.

        In the second, that half is the validation split too.
        """
        first, second = (self.train.take(half) for half in stratified_split(self.train.labels, 0.5))
        return replace(self, train=first), replace(self, train=second, valid=second)

    def batches(self, *, batch_size: int, augment: str, device: torch.device) -> ImageBatches:
        """Return the batches; see ``ImageBatches``."""
        return ImageBatches(data=self, batch_size=batch_size, augment=augment, device=device)
