"""Augmentation: every image by itself, gaps filled."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from raynas.data.augment import AUGMENTATIONS


def augmented(name: str, images: Tensor, fill: int = 0) -> Tensor:
    filling = torch.full((images.shape[-1],), fill, dtype=images.dtype)
    return AUGMENTATIONS[name](images, filling, torch.Generator().manual_seed(0))


def windows(image: Tensor, pad: int) -> Iterator[Tensor]:
    size = image.shape[0]
    padded = torch.nn.functional.pad(image, (0, 0, pad, pad, pad, pad))
    for i in range(2 * pad + 1):
        for j in range(2 * pad + 1):
            yield padded[i : i + size, j : j + size]


@pytest.mark.parametrize(("name", "flips"), [("shift", False), ("crop_flip", True)])
def test_every_image_is_shifted_by_itself(name: str, flips: bool) -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(1, 256, (40, 16, 16, 3)).astype(np.uint8))
    outcome = augmented(name, images)
    n_mirrored = 0
    for image, got in zip(images, outcome, strict=True):
        plain = any(torch.equal(window, got) for window in windows(image, 2))
        mirrored = any(torch.equal(window.flip(1), got) for window in windows(image, 2))
        assert plain or (flips and mirrored)
        n_mirrored += mirrored
    assert 10 < n_mirrored < 30 if flips else n_mirrored == 0
    assert len({tuple(image.flatten().tolist()) for image in augmented(name, images[:1].expand(40, -1, -1, -1))}) > 5


def test_gaps_are_filled_with_the_mean() -> None:
    outcome = augmented("shift", torch.full((50, 8, 8, 1), 9, dtype=torch.uint8), fill=5)
    assert set(outcome.unique().tolist()) == {5, 9}


def test_cutout_blanks_a_square() -> None:
    outcome = augmented("crop_flip_cutout", torch.full((50, 16, 16, 3), 9, dtype=torch.uint8), fill=9)
    assert (outcome == 9).all()
    holes = (augmented("crop_flip_cutout", torch.ones((50, 16, 16, 3))) == 0).float().mean(dim=(1, 2, 3))
    assert holes.min() > 0.09 and holes.max() < 0.6
