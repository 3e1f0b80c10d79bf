"""Image files as arrays, read by Pillow: each mode and depth is read right, or refused by name.

An image is turned as its EXIF data says; transparent parts are white; colours with a profile are converted to sRGB.
Images of up to 8 bits per channel, and colours of 16, become uint8. Deeper grey ones (16 or 32 bits, floats) become
float32, all of them divided by the same number: the smallest of ``WHITE`` that no pixel exceeds becomes 255.
"""

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from raynas.data.image_arrays import Images
from raynas.data.image_depth import BYTES, DEEP_COLOUR, depth, raw_mode, white_is_zero
from raynas.data.stored import Stored
from raynas.errors import DataError, one_line

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageCms import ImageCmsTransform

T = TypeVar("T")

FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")
"""Formats of Pillow that are read: those that hold one image and need no program besides it, as EPS does."""

WHITE = (1, 2**8 - 1, 2**10 - 1, 2**12 - 1, 2**14 - 1, 2**16 - 1)
"""Usual values of white in deep images: cameras of 10 to 14 bits store their numbers in 16 as they are."""

_MAX_SHOWN = 3


def read_images(files: Sequence[Stored], size: int) -> Images:
    """Read images of one data set as RGB, ``(n, size, size, 3)``, uint8 or float32.

    Each image's shorter side is resized to ``size`` pixels and the middle cut out.

    Raises:
        DataError: if files cannot be read or are ambiguous, or if their depths differ.
    """
    bits = common_depth(files)
    if bits not in (BYTES, DEEP_COLOUR):
        with _no_warnings():
            return _read_deep(files, size)
    images = read_bytes(files, size, bits)
    check_use_of_bits(int(images.max()), bits, files[0])
    return images


def refuse(reasons: Sequence[str]) -> None:
    """Name what cannot be used, in one line.

    Raises:
        DataError: if there are reasons to.
    """
    if reasons:
        more = len(reasons) - _MAX_SHOWN
        raise DataError("; ".join(reasons[:_MAX_SHOWN]) + (f"; and {more} more" if more > 0 else ""))


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Silence warnings of damaged metadata, and of images that are large but not too large."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _each(files: Sequence[Stored], read: Callable[[Stored], T]) -> Iterator[T]:
    """Yield what ``read`` returns, and refuse the files that it fails for when all were tried."""
    reasons = []
    for file in files:
        try:
            yield read(file)
        except Exception as error:
            reasons.append(f"image {file} {_reason(error)}")
    refuse(reasons)


def _reason(error: Exception) -> str:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, DataError):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return "is gone, or not on this machine: every node must see it by this path"
    if isinstance(error, UnidentifiedImageError):
        return "cannot be read: Pillow knows no such format, depth or number of channels; convert or remove it"
    if isinstance(error, Image.DecompressionBombError):
        return f"cannot be read: {one_line(error)}; make it smaller"
    return f"cannot be read: {one_line(error)}; repair, convert or remove it"


@cache
def _formats() -> tuple[str, ...]:
    """Return the formats that this Pillow was built with."""
    from PIL import Image

    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextmanager
def _opened(file: Stored) -> "Iterator[Image]":
    from PIL import Image

    with file.open("rb") as stream:
        if not stream.read(1):
            raise DataError("cannot be read: the file is empty; repair or remove it")
        stream.seek(0)
        with Image.open(stream, formats=_formats()) as image:
            yield image


# --- depth -----------------------------------------------------------------------------------------------------------


def common_depth(files: Sequence[Stored]) -> str:
    """Return the depth of images, see ``raynas.data.image_depth``.

    Raises:
        DataError: if files cannot be read or are ambiguous, or if their depths differ.
    """
    found: dict[str, Stored] = {}
    with _no_warnings():
        for file, bits in zip(files, list(_each(files, _depth_of)), strict=True):
            found.setdefault(bits, file)
    if len(found) > 1:
        shown = ", ".join(f"{file} has {bits}" for bits, file in found.items())
        raise DataError(f"images of different depths cannot be compared: {shown}; convert them to the same depth")
    return next(iter(found))


def _depth_of(file: Stored) -> str:
    with _opened(file) as image:
        return depth(image, file)


# --- up to 8 bits, and colour ----------------------------------------------------------------------------------------


def read_bytes(files: Sequence[Stored], size: int, bits: str) -> NDArray[np.uint8]:
    """Read images of up to 8 bits per channel, or of colours of 16, ``(n, size, size, 3)``; see ``read_images``.

    Raises:
        DataError: if files cannot be read, or have another depth than ``bits``.
    """
    images = np.empty((len(files), size, size, 3), np.uint8)
    with _no_warnings():
        for i, image in enumerate(_each(files, lambda file: _rgb(file, size, bits))):
            images[i] = image
    return images


def check_use_of_bits(peak: int, bits: str, file: Stored) -> None:
    """Refuse dark images of 16 bits per colour, of which Pillow keeps too little.

    Args:
        peak: the highest value of all images, as read.
        bits: their depth.
        file: an example to name.

    Raises:
        DataError: if they are such images.
    """
    if bits == DEEP_COLOUR and peak < 2**6:
        raise DataError(
            f"images such as {file} have 16 bits per colour but use less than 14, and only the upper 8 would be "
            "read: scale them, or save them with 8 bits"
        )


def _rgb(file: Stored, size: int, bits: str) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    with _opened(file) as stored:
        if (own := depth(stored, file)) != bits:
            raise DataError(f"has {own}, others have {bits}; convert them to the same depth")
        profile = stored.info.get("icc_profile")
        image = ImageOps.exif_transpose(stored)
        if image.has_transparency_data:
            image = image.convert("RGBA")
        elif image.mode not in ("L", "RGB", "CMYK"):  # indices, bits and others cannot be resized
            image = image.convert("RGB")
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
        if image.mode == "RGBA":
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        return np.asarray(_in_srgb(image, profile))


def _in_srgb(image: "Image", profile: bytes | None) -> "Image":
    transform = _to_srgb(profile, image.mode) if profile and image.mode != "L" else None
    if transform is None:
        return image.convert("RGB")
    from PIL import ImageCms

    return ImageCms.applyTransform(image, transform) or image


@lru_cache(maxsize=16)
def _to_srgb(profile: bytes, mode: str) -> "ImageCmsTransform | None":
    """Return the conversion from a profile; None from one that is damaged or of another mode, which viewers ignore."""
    from PIL import ImageCms

    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), mode, "RGB"
        )
    except (ImageCms.PyCMSError, ImportError, OSError):
        return None


# --- deep ------------------------------------------------------------------------------------------------------------


def _read_deep(files: Sequence[Stored], size: int) -> NDArray[np.float32]:
    images = np.empty((len(files), size, size, 3), np.float32)
    peak = 0.0
    for i, (image, highest) in enumerate(_each(files, lambda file: _grey(file, size))):
        images[i] = image[..., np.newaxis]
        peak = max(peak, highest)
    white = next((white for white in WHITE if white >= peak), peak)
    images *= 255 / white
    return images


def _grey(file: Stored, size: int) -> tuple[NDArray[np.float32], float]:
    """Return the pixels, and the highest before they were resized."""
    from PIL import Image, ImageOps

    with _opened(file) as stored:
        inverted, unsigned = white_is_zero(stored), raw_mode(stored) == "I;32N"
        pixels = np.asarray(ImageOps.exif_transpose(stored))
    if unsigned:
        pixels = pixels.view(np.uint32)
    if inverted:
        pixels = np.iinfo(pixels.dtype).max - pixels
    values = pixels.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError("holds values that are NaN or infinite; replace them")
    fitted = ImageOps.fit(Image.fromarray(values), (size, size), Image.Resampling.BILINEAR)
    return np.asarray(fitted), float(np.abs(values).max())
