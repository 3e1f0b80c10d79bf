"""Augmentation of whole batches of images at once, as they are stored."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

Augmentation = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""Takes images of shape ``(batch, height, width, channels)``, the value per channel to fill gaps with (the mean, which
becomes zero), and the generator of all randomness; returns images of the same shape and type."""


def keep(images: Tensor, fill: Tensor, generator: torch.Generator) -> Tensor:
    """Return the images as they are."""
    return images


def crop(images: Tensor, fill: Tensor, generator: torch.Generator, *, flip: bool) -> Tensor:
    """Shift each image by up to an eighth of its height, at least a pixel, and mirror every other one if ``flip``.

    One gather for the batch: shifting and mirroring are arithmetic on the indices.
    """
    n, height, width, channels = images.shape
    pad = max(height // 8, 1)
    padded = fill.expand(n, height + 2 * pad, width + 2 * pad, channels).clone()
    padded[:, pad : pad + height, pad : pad + width] = images
    down = torch.randint(2 * pad + 1, (n, 1), generator=generator)
    right = torch.randint(2 * pad + 1, (n, 1), generator=generator)
    columns = torch.arange(width).expand(n, width)
    if flip:
        mirrored = torch.rand((n, 1), generator=generator) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    rows = (down + torch.arange(height) + torch.arange(n)[:, None] * padded.shape[1])[:, :, None]
    pixels = rows * padded.shape[2] + (right + columns)[:, None, :]
    flat = padded.view(-1, channels).index_select(0, pixels.flatten().to(images.device))
    return flat.view(n, height, width, channels)


def crop_and_cut_out(images: Tensor, fill: Tensor, generator: torch.Generator) -> Tensor:
    """Crop and flip, then blank a square of half the height around a random pixel (DeVries and Taylor 2017)."""
    images = crop(images, fill, generator, flip=True)
    n, height, width, _ = images.shape
    near_row, near_column = (
        (torch.arange(size) - torch.randint(size, (n, 1), generator=generator)).abs() <= height // 4
        for size in (height, width)
    )
    hole = (near_row[:, :, None] & near_column[:, None, :]).to(images.device)
    return torch.where(hole[..., None], fill, images)


AUGMENTATIONS: Mapping[str, Augmentation] = {
    "none": keep,
    "shift": partial(crop, flip=False),
    "crop_flip": partial(crop, flip=True),
    "crop_flip_cutout": crop_and_cut_out,
}
"""Augmentations by name."""
