"""Arithmetic on images as arrays."""

import numpy as np

from raynas.data.image_arrays import channel_statistics, resized


def test_statistics_are_those_of_each_channel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 5, 4, 3), dtype=np.uint8)
    images[..., 2] = 7
    mean, std = channel_statistics(images[start : start + 7] for start in range(0, 30, 7))
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(std, [*images.std(axis=(0, 1, 2))[:2], 1.0])


def test_shrinking_takes_means_over_areas() -> None:
    images = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1) * 10
    expected = images.reshape(2, 2, 2, 2).mean(axis=(1, 3)).round()
    np.testing.assert_array_equal(resized(images, 2)[0, ..., 0], expected)
    assert resized(images, 8).shape == (1, 8, 8, 1)
