"""ImageData: labelled images, split; in memory, or decoded when they are needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from raynas.core.inputs import Inputs, InputSpec, TensorSpec
from raynas.data.image_arrays import Images, Labels, channel_statistics, resized
from raynas.data.image_batches import ImageBatches, read_batches
from raynas.data.splitting import some_of, stratified_split
from raynas.data.streamed_images import StreamedImages

STATISTICS_BATCH = 16
"""Number of images whose sums are taken at a time, in float64."""


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """Images and their labels.

    Args:
        images: see ``Images`` and ``StreamedImages``.
        labels: see ``Labels``.
    """

    images: Images | StreamedImages
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def array(self) -> Images:
        """The images in memory; those that are streamed are read, all of them."""
        return self.images.read(np.arange(len(self))) if isinstance(self.images, StreamedImages) else self.images

    def take(self, indices: NDArray[np.int64]) -> "ImageSplit":
        """Return the examples at ``indices``; copy those in memory."""
        images = self.images.take(indices) if isinstance(self.images, StreamedImages) else self.images[indices]
        return ImageSplit(images, self.labels[indices])

    def resized(self, resolution: int) -> "ImageSplit":
        """Return the split with images of ``resolution`` pixels on each side."""
        images = self.images
        small = images.resized(resolution) if isinstance(images, StreamedImages) else resized(images, resolution)
        return ImageSplit(small, self.labels)

    def joined(self, other: "ImageSplit") -> "ImageSplit":
        """Return the examples of both splits of one data set."""
        labels = np.concatenate([self.labels, other.labels])
        if isinstance(self.images, StreamedImages):
            assert isinstance(other.images, StreamedImages)  # all splits are streamed, or none
            return ImageSplit(self.images.joined(other.images), labels)
        return ImageSplit(np.concatenate([self.images, other.images]), labels)

    def statistics(self, most: int | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the mean and the standard deviation of each channel.

        Args:
            most: number of images that they are computed from; None for all.
        """
        chosen = np.arange(len(self)) if most is None else some_of(len(self), most)
        parts = [chosen[start : start + STATISTICS_BATCH] for start in range(0, len(chosen), STATISTICS_BATCH)]
        return channel_statistics(batch.numpy() for batch in read_batches(self.images, parts))


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
        n_statistics: number of training images that mean and standard deviation are computed from; None for all. It is
            the same in memory as for streamed images, so that a training does not depend on the size of the memory.
    """

    name: str
    train: ImageSplit
    valid: ImageSplit
    test: ImageSplit | None
    n_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: str
    n_statistics: int | None = None

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
        return replace(self, train=self.train.joined(self.valid))

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
        mean, std = train.statistics(self.n_statistics)
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
