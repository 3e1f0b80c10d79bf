"""Depth of image files, and what is refused because Pillow would read it wrong."""

import base64
import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raynas.data.image_depth import BYTES, DEEP_COLOUR, FLOATS, INTEGERS, WORDS, depth
from raynas.data.image_files import read_images
from raynas.errors import DataError
from tests.data.image_writers import DEFLATED, Write, grey, means, png, saved, tiff, written

DEPTHS: dict[str, tuple[Write, str]] = {
    "bits": (saved(Image.new("1", (4, 4))), BYTES),
    "indices": (saved(Image.new("P", (4, 4))), BYTES),
    "colour": (saved(Image.new("RGB", (4, 4)), ".jpg"), BYTES),
    "colour of 16 bits": (png(16, 2, bytes(24)), DEEP_COLOUR),
    "grey of 16 bits": (png(16, 0, bytes(8)), WORDS),
    "PGM of 16 bits": (lambda path: path.with_suffix(".pgm").write_bytes(b"P5 4 4 999\n" + bytes(32)), WORDS),
    "whole numbers": (grey(0, np.int32), INTEGERS),
    "floats": (grey(0, np.float32), FLOATS),
}


@pytest.mark.parametrize("name", DEPTHS)
def test_depth_by_the_header(name: str, tmp_path: Path) -> None:
    write, expected = DEPTHS[name]
    (file,) = written(tmp_path, write)
    with Image.open(file) as image:
        assert depth(image, file) == expected


# --- several images in a file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_animations_and_stacks_are_refused(suffix: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), (70 * i, 0, 0)) for i in range(3)]
    files = written(tmp_path, saved(frames[0], suffix, save_all=True, append_images=frames[1:]))
    with pytest.raises(DataError, match=r"image .*0\.\w+ holds 3 images \(an animation or a stack\); save each"):
        read_images(files, 4)


def test_a_photograph_with_previews(tmp_path: Path) -> None:
    views = [Image.new("RGB", (16, 16), (i * 80, i * 80, i * 80)) for i in (2, 0, 1)]
    found = means(tmp_path, saved(views[0], ".mpo", save_all=True, append_images=views[1:]))
    np.testing.assert_allclose(found, [[160, 160, 160]], atol=1)


def test_a_slide_with_smaller_copies(tmp_path: Path) -> None:
    whole, copy = bytes([99] * 16), bytes([1] * 16)
    assert means(tmp_path, tiff((whole, {}), (copy, {254: (1,)}))) == [[99, 99, 99]]
    with pytest.raises(DataError, match="holds 2 images"):
        read_images(written(tmp_path, tiff((whole, {}), (copy, {254: (0,)}))), 4)


# --- what Pillow reads wrong -----------------------------------------------------------------------------------------

WHITE_OF_10_BITS = base64.b64decode(  # 4 by 4 pixels of JPEG 2000, all three colours 1023, which Pillow reads as 0
    "/0//UQAvAAAAAAAEAAAABAAAAAAAAAAAAAAABAAAAAQAAAAAAAAAAAADCQEBCQEBCQEB/1IADAAAAAEBAAQEAAH/XAAEQFD/ZAAlAAFDcmVhdGVk"
    "IGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjT/kAAKAAAAAAAXAAH/k8/MEBQAXK+AgP/Z"
)


def cmyk_without_a_maker(path: Path) -> None:
    content = io.BytesIO()
    Image.new("CMYK", (4, 4)).save(content, "JPEG")
    before, marker, after = content.getvalue().partition(b"\xff\xee\0\x0eAdobe")
    assert marker
    path.with_suffix(".jpg").write_bytes(before + after[7:])


REFUSED: dict[str, tuple[Write, str]] = {
    "16 bits with a clear colour": (png(16, 0, b"\x12\x34" * 4, tRNS=b"\x12\x34"), "transparent colour; remove"),
    "floats of which 0 is white": (
        tiff((np.zeros(16, np.float32).tobytes(), {258: (32,), 339: (3,), 262: (0,)})),
        "0 is white, so that black is unknown",
    ),
    "planes of 16 bits": (
        tiff(([bytes(range(32))] * 3, {258: (16,) * 3, 262: (2,), 277: (3,), 284: (2,)})),
        "save it with interleaved channels",
    ),
    "compressed floats, the other order of bytes": (
        tiff((zlib.compress(np.full(16, 0.5, ">f4").tobytes()), {**DEFLATED, 258: (32,), 339: (3,)}), order=">"),
        "save it without compression",
    ),
    "compressed integers, the other order of bytes": (
        tiff((zlib.compress(np.full(16, 5, ">i4").tobytes()), {**DEFLATED, 258: (32,), 339: (2,)}), order=">"),
        "save it without compression",
    ),
    "differences in PackBits": (tiff((b"\x0f" + bytes(16), {259: (32773,), 317: (2,)})), "against the standard"),
    "a raw file of a camera": (tiff((bytes(16), {254: (1,)})), "holds a preview alone"),
    "a volume": (tiff((bytes(64), {32997: (4,)})), "holds a volume"),
    "colour of 10 bits in JPEG 2000": (
        lambda path: path.with_suffix(".j2k").write_bytes(WHITE_OF_10_BITS),
        "more than 8 bits per colour",
    ),
    "CMYK by nobody": (cmyk_without_a_maker, "is CMYK but does not say"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_pillow_reads_wrong_is_refused(name: str, tmp_path: Path) -> None:
    write, reason = REFUSED[name]
    (file,) = written(tmp_path, write)
    with pytest.raises(DataError, match=reason), Image.open(file) as image:
        depth(image, file)
