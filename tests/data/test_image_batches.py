"""Batches: normalised, shuffled, augmented as a whole, never written back to the arrays they come from."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from raynas.data.augment import AUGMENTATIONS
from raynas.data.image_batches import ImageBatches
from raynas.data.image_sets import load_images
from raynas.data.images import ImageData, ImageSplit
from raynas.errors import DataError

CPU = torch.device("cpu")


def array_batches(data: ImageData, batch_size: int = 64, augment: str = "none") -> ImageBatches:
    return ImageBatches(data=data, batch_size=batch_size, augment=augment, device=CPU)


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_images("digits")


def colourful(n: int = 12, size: int = 16, dtype: type = np.uint8) -> ImageData:
    images: NDArray[Any] = np.random.default_rng(0).integers(1, 256, (n, size, size, 3)).astype(dtype)
    split = ImageSplit(images, np.arange(n, dtype=np.int64) % 2)
    return ImageData(
        name="colourful",
        train=split,
        valid=split,
        test=None,
        n_classes=2,
        mean=(100.0, 120.0, 140.0),
        std=(50.0, 60.0, 70.0),
        augment="crop_flip",
    )


def test_batches_are_normalised_and_in_channels_last_format() -> None:
    data = colourful()
    images, labels = next(iter(array_batches(data).examine("valid")))
    assert images.shape == (12, 3, 16, 16) and images.is_contiguous(memory_format=torch.channels_last)
    expected = (data.valid.images - np.array(data.mean)) / np.array(data.std)
    np.testing.assert_allclose(images.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)
    assert labels.tolist() == [0, 1] * 6


def test_an_epoch_shows_each_image_once_in_an_order_that_the_seed_decides(digits: ImageData) -> None:
    batches = array_batches(digits, batch_size=100)

    def order(seed: int) -> list[int]:
        return [int(x) for _, labels in batches.train(seed) for x in labels]

    assert order(1) == order(1) != order(2)
    assert batches.n_steps == 11 and len(order(1)) == 1100
    assert len({image.numpy().tobytes() for images, _ in batches.train(1) for image in images}) == 1100


def test_a_batch_larger_than_the_data_is_all_of_it() -> None:
    batches = array_batches(colourful(), batch_size=100)
    assert [len(labels) for _, labels in batches.train(0)] == [12]


@pytest.mark.parametrize("augment", AUGMENTATIONS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_shared_arrays_are_never_written_to(augment: str, dtype: type) -> None:
    data = colourful(dtype=dtype)
    data.train.array.flags.writeable = False
    data.train.labels.flags.writeable = False
    before = data.train.array.copy()
    batches = array_batches(data, augment=augment)
    for images, labels in (*batches.train(0), *batches.examine("valid")):
        images.zero_()
        labels.zero_()
    np.testing.assert_array_equal(data.train.images, before)


def test_the_test_split_is_not_there_for_trials() -> None:
    with pytest.raises(DataError, match="the test split is not here"):
        next(array_batches(colourful()).examine("test"))
