"""Images as arrays of shape ``(n, height, width, channels)``, uint8 or float32: checks and arithmetic."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from raynas.errors import DataError

Images = NDArray[Any]
"""Shape ``(n, height, width, channels)``, uint8 or float32; may be read-only."""

MAX_CHANNELS = 16
"""Number of channels up to which square images with channels first are recognised."""

Labels = NDArray[np.int64]
"""From 0 to n_classes - 1, shape ``(n,)``."""


MAX_SCALE_RATIO = 16
"""Ratio of the highest values of two splits from which they cannot be in the same units: 255 to 1, or 65,535 to 255."""


def checked_images(images: NDArray[Any], where: str) -> NDArray[Any]:
    """Return images with an axis of channels.

    Raises:
        DataError: if shape or values cannot be those of images; ``where`` names them.
    """
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4:
        raise DataError(f"{where} must have shape (n, height, width[, channels]), got {images.shape}")
    if 0 in images.shape:
        raise DataError(f"{where} is empty: shape {images.shape}")
    if _is_channels_first(images.shape):
        raise DataError(f"{where} has shape {images.shape}, channels first; transpose to (n, height, width, channels)")
    if images.dtype.kind not in "biuf":
        raise DataError(f"{where} must be uint8 (0 to 255), other whole numbers or float, got {images.dtype}")
    return images


def _is_channels_first(shape: tuple[int, ...]) -> bool:
    _, first, middle, last = shape
    if first in (1, 3) and last > 4:
        return True
    return first != middle == last > MAX_CHANNELS >= first  # square images of several bands


def in_memory(parts: Mapping[str, NDArray[Any]], where: Mapping[str, str]) -> dict[str, Images]:
    """Return checked images of all splits as raynas keeps them: whole numbers from 0 to 255 as uint8, else float32.

    Raises:
        DataError: if a split has values that are NaN or infinite; ``where`` names it.
    """
    are_bytes = all(images.dtype.kind != "f" and images.min() >= 0 and images.max() <= 255 for images in parts.values())
    return {part: _as_bytes(images) if are_bytes else _as_floats(images, where[part]) for part, images in parts.items()}


def check_scales(parts: Mapping[str, Images], where: Mapping[str, str]) -> None:
    """Check that no split goes up to 1 where the training split goes up to 255, or the like.

    Raises:
        DataError: if one does; ``where`` names it.
    """
    peaks = {part: max(float(images.max()), -float(images.min())) for part, images in parts.items()}
    for part, peak in peaks.items():
        if max(peak, peaks["train"]) > MAX_SCALE_RATIO * min(peak, peaks["train"]) > 0:
            raise DataError(
                f"{where[part]} goes up to {peak:g}, but {where['train']} to {peaks['train']:g}; scale them alike"
            )


def _as_bytes(images: NDArray[Any]) -> NDArray[np.uint8]:
    return images * np.uint8(255) if images.dtype.kind == "b" else images.astype(np.uint8, copy=False)


def _as_floats(images: NDArray[Any], where: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        floats = images.astype(np.float32, copy=False)
    if not np.isfinite(floats).all():
        raise DataError(f"{where} holds values that are NaN or infinite")
    return floats


def checked_labels(labels: NDArray[Any], n_images: int, where: str) -> Labels:
    """Return labels as raynas keeps them: ``(n,)``, int64, not negative.

    Raises:
        DataError: if they are not integers, negative, or not one per image; ``where`` names them.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or len(labels) != n_images:
        hint = "; if they are one-hot, take .argmax(1)" if labels.ndim == 2 and len(labels) == n_images else ""
        raise DataError(f"{where} must hold one label per image, shape ({n_images},), got {labels.shape}{hint}")
    if labels.dtype.kind not in "iu":
        convert = ".astype('int64')" if labels.dtype.kind in "fb" else "numpy.unique(…, return_inverse=True)[1]"
        raise DataError(f"{where} must hold whole numbers from 0, got {labels.dtype}; convert with {convert}")
    if labels.min() < 0:
        raise DataError(f"{where} holds label {labels.min()}; number the classes from 0")
    return labels.astype(np.int64)


def check_every_class(labels: Labels, n_classes: int, name: str) -> None:
    """Check that the training labels hold every class, at least two.

    Raises:
        DataError: if they do not; ``name`` is that of the data.
    """
    present = np.unique(labels)
    if len(present) < 2 or n_classes < 2:
        raise DataError(f"{name}: the training labels hold {len(present)} class; there must be at least 2")
    if len(present) < n_classes:
        missing = next(i for i in range(n_classes) if i >= len(present) or present[i] != i)
        raise DataError(
            f"{name}: no training image has label {missing}, although labels go up to {n_classes - 1}; number the "
            "classes from 0 without gaps"
        )


def channel_statistics(batches: Iterable[Images]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the standard deviation of each channel; that of a constant channel counts as 1."""
    total: Any = 0.0
    squares: Any = 0.0
    n = 0
    for batch in batches:
        pixels = batch.reshape(-1, batch.shape[-1]).astype(np.float64)
        total, squares, n = total + pixels.sum(axis=0), squares + np.square(pixels).sum(axis=0), n + len(pixels)
    mean = total / n
    std = np.sqrt(np.maximum(squares / n - mean**2, 0))
    return tuple(mean.tolist()), tuple(np.where(std > 1e-6 * (1 + np.abs(mean)), std, 1.0).tolist())


def resized(images: Images, resolution: int, chunk: int = 1024) -> Images:
    """Resize images to ``resolution`` pixels on each side: means over areas to shrink, bilinear to grow."""
    shrinks = resolution <= min(images.shape[1:3])
    mode: dict[str, Any] = {"mode": "area"} if shrinks else {"mode": "bilinear", "align_corners": False}
    out = np.empty((len(images), resolution, resolution, images.shape[-1]), images.dtype)
    for start in range(0, len(images), chunk):
        part = torch.from_numpy(images[start : start + chunk].astype(np.float32)).permute(0, 3, 1, 2)
        small = functional.interpolate(part, size=(resolution, resolution), **mode).permute(0, 2, 3, 1).numpy()
        out[start : start + chunk] = small.round() if out.dtype == np.uint8 else small
    return out
