"""Augmentation of whole batches of images at once, as they are stored."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """A kind of augmentation: numbers are drawn for each image, then applied to the batch where it is.

    The numbers are few, so that all of an epoch can be drawn on the CPU and reach a GPU in one copy.

    Args:
        crops: shift each image by up to an eighth of its height, at least a pixel.
        flips: mirror every other one too.
        cuts_out: then blank a square of half the height around a random pixel (DeVries and Taylor 2017).
    """

    crops: bool = False
    flips: bool = False
    cuts_out: bool = False

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
        """Draw what is done to each of ``n`` images, int64 of shape ``(n, number of draws)``."""
        if not self.crops:
            return torch.empty(n, 0, dtype=torch.int64)
        pad = _pad(height)
        drawn = [torch.randint(2 * pad + 1, (n, 1), generator=generator) for _ in range(2)]
        if self.flips:
            drawn.append((torch.rand((n, 1), generator=generator) < 0.5).long())
        if self.cuts_out:
            drawn += [torch.randint(size, (n, 1), generator=generator) for size in (height, width)]
        return torch.cat(drawn, dim=1)

    def apply(self, images: Tensor, fill: Tensor, drawn: Tensor) -> Tensor:
        """Augment images.

        Args:
            images: shape ``(batch, height, width, channels)``.
            fill: the value per channel to fill gaps with: the mean, which becomes zero.
            drawn: from ``draw``, on the device of the images.

        Returns:
            Images of the same shape and type.
        """
        if not self.crops:
            return images
        down, right, *more = drawn[:, :, None].unbind(1)
        outcome = _cropped(images, fill, down, right, more.pop(0) if self.flips else None)
        return _cut_out(outcome, fill, *more) if self.cuts_out else outcome

    def __call__(self, images: Tensor, fill: Tensor, generator: torch.Generator) -> Tensor:
        """Draw and apply."""
        return self.apply(images, fill, self.draw(*_sizes(images), generator).to(images.device))


def _sizes(images: Tensor) -> tuple[int, int, int]:
    n, height, width, _ = images.shape
    return n, height, width


def _pad(height: int) -> int:
    return max(height // 8, 1)


def _cropped(images: Tensor, fill: Tensor, down: Tensor, right: Tensor, mirrored: Tensor | None) -> Tensor:
    """Shift and mirror images; the numbers have shape ``(batch, 1)``."""
    n, height, width, channels = images.shape
    device, pad = images.device, _pad(height)
    padded = fill.expand(n, height + 2 * pad, width + 2 * pad, channels).clone()
    padded[:, pad : pad + height, pad : pad + width] = images
    columns = torch.arange(width, device=device).expand(n, width)
    if mirrored is not None:
        columns = torch.where(mirrored.bool(), width - 1 - columns, columns)
    rows, columns = down + torch.arange(height, device=device), right + columns
    first = torch.arange(n, device=device)[:, None]
    if device.type != "cpu":  # There, indices of rows and columns do: that of each pixel would be 8 bytes for it.
        return padded[first[:, :, None], rows[:, :, None], columns[:, None, :]]
    pixels = (rows + first * padded.shape[1])[:, :, None] * padded.shape[2] + columns[:, None, :]
    return padded.view(-1, channels).index_select(0, pixels.flatten()).view(n, height, width, channels)


def _cut_out(images: Tensor, fill: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Blank a square around a pixel of each image; the numbers have shape ``(batch, 1)``."""
    _, height, width, _ = images.shape
    near_row, near_column = (
        (torch.arange(size, device=images.device) - middle).abs() <= height // 4
        for size, middle in ((height, row), (width, column))
    )
    hole = near_row[:, :, None] & near_column[:, None, :]
    return torch.where(hole[..., None], fill, images)


AUGMENTATIONS: Mapping[str, Augmentation] = {
    "none": Augmentation(),
    "shift": Augmentation(crops=True),
    "crop_flip": Augmentation(crops=True, flips=True),
    "crop_flip_cutout": Augmentation(crops=True, flips=True, cuts_out=True),
}
"""Augmentations by name."""
