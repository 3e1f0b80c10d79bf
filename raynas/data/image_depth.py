"""Depth of image files, read from their header; what Pillow would read wrong is refused here.

The cases were found by reading files that other libraries had written in every layout.
"""

from typing import TYPE_CHECKING

from raynas.data.stored import Stored
from raynas.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

BYTES, DEEP_COLOUR, WORDS, INTEGERS, FLOATS = "8 bits", "16 bits and colour", "16 bits", "32 bits", "floats"
"""Depths: up to 8 bits per channel; colours of 16 bits, of which Pillow keeps 8; and three kinds of grey."""

_PACK_BITS, _IMAGE_DEPTH = 32773, 32997  # a compression and a tag of TIFF
_MAX_SEGMENT = 2**16


def depth(image: "Image", file: Stored) -> str:
    """Return the depth of the pixels of an opened file.

    Raises:
        DataError: if it holds several images, or would be read wrong.
    """
    pages = _pages(image)
    if not pages:
        raise DataError("holds a preview alone, as camera raw files do; convert it")
    if pages != [0]:
        raise DataError(f"holds {len(pages)} images (an animation or a stack); save each as a separate file")
    _check_layout(image, file)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        bits = WORDS
    elif image.mode in ("I", "F"):
        bits = INTEGERS if image.mode == "I" else FLOATS
    else:
        return DEEP_COLOUR if ";16" in raw_mode(image) else BYTES
    if image.has_transparency_data:
        raise DataError(f"has {bits} and a transparent colour; remove the transparency, or convert it to 8 bits")
    if bits == FLOATS and white_is_zero(image):
        raise DataError("has floats of which 0 is white, so that black is unknown; convert it")
    return bits


def _pages(image: "Image") -> list[int]:
    """Return the images that a file holds, apart from previews and smaller copies."""
    n = getattr(image, "n_frames", 1)
    if image.format == "MPO":  # a photograph, and previews or other views of it
        return [0]
    if image.format != "TIFF":
        return list(range(n))
    full = [i for i in range(n) if not _is_reduced(image, i)]
    image.seek(0)
    return full


def _is_reduced(image: "Image", page: int) -> bool:
    image.seek(page)
    return bool(_tiff_tag(image, "NewSubfileType", 0) & 1)


def _check_layout(image: "Image", file: Stored) -> None:
    """Refuse what Pillow reads wrong without an error."""
    if image.format == "TIFF":
        _check_tiff(image)
    if image.format == "JPEG2000" and image.mode != "I;16" and _jpeg2000_bits(file.read_bytes()) > 8:
        raise DataError("has more than 8 bits per colour, of which Pillow reads white as black; save it as PNG or TIFF")
    if image.format == "JPEG" and image.mode == "CMYK" and "adobe" not in image.info:
        raise DataError("is CMYK but does not say whether 0 or 255 is full ink; convert it to RGB")


def _check_tiff(image: "Image") -> None:
    stored, compressed = raw_mode(image), image.tile[0].codec_name == "libtiff"  # type: ignore[attr-defined]
    if not compressed and _tiff_tag(image, "PlanarConfiguration", 1) == 2 and _tiff_tag(image, "BitsPerSample", 1) > 8:
        raise DataError(
            "holds its channels one after the other with more than 8 bits; save it with interleaved channels"
        )
    if compressed and stored in ("F;32BF", "I;16BS", "I;32BS"):  # whose bytes Pillow swaps a second time
        raise DataError("is compressed with the most significant byte first; save it without compression")
    if _tiff_tag(image, "Predictor", 1) != 1 and _tiff_tag(image, "Compression", 1) == _PACK_BITS:
        raise DataError("holds differences compressed by PackBits, which is against the standard; save it otherwise")
    if _tiff_tag(image, _IMAGE_DEPTH, 1) > 1:
        raise DataError("holds a volume; save each slice as a separate file")


def _jpeg2000_bits(content: bytes) -> int:
    """Return the bits of the deepest channel, from the segment of sizes at the start of the code stream."""
    segment = content[content.find(b"\xff\x4f\xff\x51") + 4 :][:_MAX_SEGMENT]
    n_channels = int.from_bytes(segment[36:38], "big")
    return max((depth & 0x7F for depth in segment[38 : 38 + 3 * n_channels : 3]), default=0) + 1


def white_is_zero(image: "Image") -> bool:
    """Return whether 0 is white, which Pillow heeds for up to 8 bits only."""
    return image.format == "TIFF" and _tiff_tag(image, "PhotometricInterpretation", 1) == 0


def _tiff_tag(image: "Image", tag: str | int, default: int) -> int:
    from PIL import ExifTags

    value = image.tag_v2.get(ExifTags.Base[tag] if isinstance(tag, str) else tag, default)  # type: ignore[attr-defined]
    return int(value[0] if isinstance(value, tuple) else value)


def raw_mode(image: "Image") -> str:
    """Return the layout of the pixels in the file; Pillow's mode is that of the pixels in memory."""
    tiles = getattr(image, "tile", ())
    *_, arguments = tiles[0] if tiles else ("",)  # a plain tuple in older releases
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)
