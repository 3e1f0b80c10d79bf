"""Image files: every mode and depth is read right, or refused by name."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, features

from raynas.data.image_files import read_images
from raynas.errors import DataError
from tests.data.image_writers import DEFLATED, Write, grey, means, png, saved, tiff, written


def palette(*colours: int) -> Image.Image:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, *colours])
    return image


def swapped_profile() -> bytes:
    """A colour profile of which red is the blue of sRGB, and blue its red."""
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for before, after in ((b"rXYZ", b"????"), (b"bXYZ", b"rXYZ"), (b"????", b"bXYZ")):
        plain = plain.replace(before, after)
    return plain


def lab(colour: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", (4, 4), colour).convert("LAB")


RED, GREEN = (200, 30, 60), (20, 220, 40)
LOSSY = {"JPEG": ".jpg", "WEBP": ".webp", "JPEG2000": ".jp2"}

BYTES: dict[str, tuple[Write, tuple[int, int, int], float]] = {
    "1": (saved(Image.new("1", (4, 4), 1)), (255, 255, 255), 0),
    "0 is white": (tiff((bytes([255 - 77] * 16), {262: (0,)})), (77, 77, 77), 0),
    "2 bits": (png(2, 0, b"\x55"), (85, 85, 85), 0),
    "4 bits": (png(4, 0, b"\x33\x33"), (51, 51, 51), 0),
    "L": (saved(Image.new("L", (4, 4), 77)), (77, 77, 77), 0),
    "LA, opaque": (saved(Image.new("LA", (4, 4), (77, 255))), (77, 77, 77), 0),
    "LA, half": (saved(Image.new("LA", (4, 4), (55, 127))), (155, 155, 155), 1),
    "LA of 16 bits, clear": (png(16, 4, b"\x12\x34\0\0" * 4), (255, 255, 255), 0),
    "P": (saved(palette(*RED)), RED, 0),
    "P, clear": (saved(palette(*RED), transparency=1), (255, 255, 255), 0),
    "PA, clear": (saved(Image.new("PA", (4, 4)), ".tif"), (255, 255, 255), 0),
    "RGB": (saved(Image.new("RGB", (4, 4), RED)), RED, 0),
    "RGB, a clear colour": (saved(Image.new("RGB", (4, 4), RED), transparency=RED), (255, 255, 255), 0),
    "RGBA, clear": (saved(Image.new("RGBA", (4, 4), (*RED, 0))), (255, 255, 255), 0),
    "RGBA, opaque": (saved(Image.new("RGBA", (4, 4), (*RED, 255)), ".tif"), RED, 0),
    "planes": (
        tiff(([bytes([value] * 16) for value in RED], {258: (8,) * 3, 262: (2,), 277: (3,), 284: (2,)})),
        RED,
        0,
    ),
    "CMYK": (saved(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), ".tif"), (255, 0, 0), 0),
    "CMYK, JPEG": (saved(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), ".jpg"), (255, 0, 0), 3),
    "YCbCr": (saved(Image.new("RGB", (4, 4), RED).convert("YCbCr"), ".tif", compression="jpeg"), RED, 4),
    "LAB": (saved(lab(RED), ".tif"), RED, 4),
    "RGB with a profile": (saved(Image.new("RGB", (4, 4), GREEN), icc_profile=swapped_profile()), (40, 220, 20), 6),
    "a broken profile": (saved(Image.new("RGB", (4, 4), GREEN), icc_profile=b"broken"), GREEN, 0),
    "BMP": (saved(Image.new("RGB", (4, 4), RED), ".bmp"), RED, 0),
    "GIF": (saved(Image.new("RGB", (4, 4), RED), ".gif"), RED, 0),
    "PPM": (saved(Image.new("RGB", (4, 4), RED), ".ppm"), RED, 0),
    "PPM of 12 bits": (
        lambda p: p.write_bytes(b"P6 4 4 4095\n" + b"\x03\x33\x0c\xcc\x0f\xff" * 16),
        (51, 204, 255),
        0,
    ),
    **{name: (saved(Image.new("RGB", (4, 4), RED), suffix), RED, 4) for name, suffix in LOSSY.items()},
    "another suffix": (lambda p: Image.new("RGB", (4, 4), RED).save(p.with_suffix(".jpg"), "PNG"), RED, 0),
}


@pytest.mark.parametrize("name", BYTES)
def test_modes_of_up_to_8_bits(name: str, tmp_path: Path) -> None:
    write, colour, tolerance = BYTES[name]
    assert read_images(written(tmp_path, write), 4).dtype == np.uint8
    np.testing.assert_allclose(read_images(written(tmp_path), 4)[0], np.broadcast_to(colour, (4, 4, 3)), atol=tolerance)


def test_avif(tmp_path: Path) -> None:
    if not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    np.testing.assert_allclose(means(tmp_path, saved(Image.new("RGB", (4, 4), RED), ".avif")), [RED], atol=6)


def test_grey_and_colour_of_several_sizes(tmp_path: Path) -> None:
    images = Image.new("L", (9, 5), 7), Image.new("RGB", (3, 30), RED), Image.new("1", (1, 1), 1), palette(*GREEN)
    assert means(tmp_path, *map(saved, images)) == [[7, 7, 7], [*RED], [255, 255, 255], [*GREEN]]


# --- depth -----------------------------------------------------------------------------------------------------------


def level(share: float, white: float, dtype: Any, suffix: str = ".tiff", **options: Any) -> Write:
    return grey(share * white, dtype, suffix, **options)


def words(share: float, white: int, **tags: tuple[int, ...]) -> Write:
    """A TIFF file of numbers of 16 bits."""
    pixels = np.full(16, round(share * white), np.uint16).tobytes()
    return tiff((pixels, {258: (16,), **{int(tag[1:]): values for tag, values in tags.items()}}))


def pgm(share: float, white: int) -> Write:
    value = struct.pack(">H", round(share * white))
    return lambda path: path.with_suffix(".pgm").write_bytes(b"P5 4 4 %d\n" % white + value * 16) and None


def twelve(share: float) -> Write:
    """A TIFF file of 12 bits per pixel: two pixels in three bytes."""
    value = round(share * 4095)
    pair = struct.pack(">I", value << 12 | value)[1:]
    return tiff((pair * 8, {258: (12,)}))


DEEP: dict[str, Callable[[float], Write]] = {
    "PNG of 16 bits": lambda share: level(share, 65535, np.uint16, ".png"),
    "TIFF of 16 bits": lambda share: level(share, 65535, np.uint16),
    "TIFF of 16 bits, compressed": lambda share: level(share, 65535, np.uint16, compression="tiff_lzw"),
    "TIFF of 16 bits, the other order of bytes": lambda share: saved(
        Image.new("I;16B", (4, 4), round(share * 65535)), ".tif"
    ),
    "TIFF of which 0 is white": lambda share: words(1 - share, 65535, _262=(0,)),
    "10 bits in 16": lambda share: level(share, 1023, np.uint16, ".png"),
    "12 bits in 16": lambda share: level(share, 4095, np.uint16),
    "12 bits": twelve,
    "14 bits in 16": lambda share: level(share, 16383, np.uint16, ".png"),
    "PGM of 16 bits": lambda share: pgm(share, 65535),
    "PGM of 12 bits": lambda share: pgm(share, 4095),
    "JPEG2000 of 16 bits": lambda share: level(share, 65535, np.uint16, ".jp2"),
    "signed 16 bits": lambda share: words(share, 16383, _339=(2,)),
    "32 bits": lambda share: level(share, 65535, np.int32),
    "32 bits, all used": lambda share: tiff(
        (np.full(16, share * (2**32 - 1)).astype(np.uint32).tobytes(), {258: (32,)})
    ),
    "floats to 1": lambda share: level(share, 1, np.float32),
    "floats, the other order of bytes": lambda share: tiff(
        (np.full(16, share, ">f4").tobytes(), {258: (32,), 339: (3,)}), order=">"
    ),
    "compressed words, the other order of bytes": lambda share: tiff(
        (zlib.compress(np.full(16, round(share * 65535), ">u2").tobytes()), {**DEFLATED, 258: (16,)}), order=">"
    ),
    "floats to 255": lambda share: level(share, 255, np.float32, compression="tiff_deflate"),
    "PFM": lambda share: level(share, 1, np.float32, ".pfm"),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_images_keep_their_brightness(name: str, tmp_path: Path) -> None:
    write = DEEP[name]
    means_ = means(tmp_path, write(0.2), write(0.8), write(1.0))
    np.testing.assert_allclose(means_, np.transpose([[51, 204, 255]] * 3), atol=0.5)


def test_deep_images_keep_differences_that_8_bits_would_lose(tmp_path: Path) -> None:
    images = read_images(written(tmp_path, *(grey(value, np.uint16, ".png") for value in (1000, 1001, 40000))), 4)
    assert images.dtype == np.float32
    np.testing.assert_allclose(images[:, 0, 0, 0], np.array([1000, 1001, 40000]) * 255 / 65535, rtol=1e-6)


def test_numbers_below_zero_stay_in_order(tmp_path: Path) -> None:
    values = [-1000.0, 0.0, 400.0, 2000.0]
    found = [mean[0] for mean in means(tmp_path, *(grey(value, np.int32) for value in values))]
    np.testing.assert_allclose(found, np.array(values) * 255 / 4095, atol=1e-3)


def test_one_scale_for_all_files_whatever_each_holds(tmp_path: Path) -> None:
    pixels = np.zeros((40, 40), np.uint16)
    pixels[20, 20] = 50000  # one bright pixel, which is lost when the image is made small
    found = means(tmp_path, grey(3000, np.uint16), saved(Image.fromarray(pixels), ".tiff"))
    np.testing.assert_allclose(found[0], 3000 * 255 / 65535, rtol=1e-5)


def test_black_images_stay_black(tmp_path: Path) -> None:
    assert means(tmp_path, grey(0, np.float32)) == [[0, 0, 0]]


def test_colour_of_16_bits(tmp_path: Path) -> None:
    row = struct.pack(">3H", 0x3333, 0xCCCC, 0xFFFF) * 4
    assert means(tmp_path, png(16, 2, row)) == [[0x33, 0xCC, 0xFF]]


# --- orientation -----------------------------------------------------------------------------------------------------

TURNED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,  # a camera held so that its right side was up
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize("orientation", TURNED)
def test_images_are_turned_as_the_camera_says(orientation: int, suffix: str, tmp_path: Path) -> None:
    pixels = np.zeros((16, 16), np.uint8)
    pixels[:8, :8], pixels[:8, 8:], pixels[8:, :8] = 250, 170, 90
    turn = TURNED[orientation]
    image = Image.fromarray(pixels).convert("RGB")
    stored = image if turn is None else image.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read_images(written(tmp_path, saved(stored, suffix, exif=exif)), 16)[0, ..., 0]
    np.testing.assert_allclose(found[2::10, 2::10], [[250, 170], [90, 0]], atol=25)


def test_deep_images_are_turned_too(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4), np.uint16)
    pixels[0] = 65535
    exif = Image.Exif()
    exif[0x0112] = 3
    found = read_images(written(tmp_path, saved(Image.fromarray(pixels), ".png", exif=exif)), 4)[0, ..., 0]
    np.testing.assert_array_equal(found[:, 0], [0, 0, 0, 255])


# --- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".bmp", ".gif", ".jp2", ".jpg", ".png", ".ppm", ".tif", ".webp"])
def test_files_that_were_cut_off(suffix: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (file,) = written(tmp_path, saved(Image.fromarray(noise), suffix))
    whole = file.read_bytes()
    for share in (0.5, 0.9):
        file.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(DataError, match=rf"image .*0\{suffix} cannot be read"):
            read_images([file], 8)


REFUSED: dict[str, tuple[list[Write], str]] = {
    "empty": ([lambda path: path.with_suffix(".jpg").touch()], r"0\.jpg cannot be read: the file is empty"),
    "a web page": (
        [lambda path: path.with_suffix(".jpg").write_text("<html>404</html>") and None],
        r"0\.jpg cannot be read: Pillow knows no such format",
    ),
    "NaN": ([grey(np.nan, np.float32)], r"0\.tiff holds values that are NaN or infinite"),
    "infinite": ([grey(np.inf, np.float32)], "NaN or infinite"),
    "colour of 12 bits in 16": ([png(16, 2, struct.pack(">3H", 4095, 100, 2000) * 4)], "use less than 14"),
    "floats of 64 bits": ([tiff((np.zeros(16).tobytes(), {258: (64,), 339: (3,)}))], r"0\.tif cannot be read"),
    "five channels": ([tiff((bytes(80), {258: (8,) * 5, 277: (5,), 338: (0,) * 4}))], r"0\.tif cannot be read"),
    "8 and 16 bits": (
        [grey(1, np.uint8, ".png"), grey(1, np.uint16, ".png")],
        r"different depths.*0\.png has 8 bits, .*1\.png has 16 bits; convert them to the same depth",
    ),
    "32 bits and floats": ([grey(1, np.int32), grey(1, np.float32)], "has 32 bits, .* has floats"),
    "colour and grey of 16 bits": ([png(16, 2, bytes(24)), grey(1, np.uint16, ".png")], "different depths"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_right_is_refused(name: str, tmp_path: Path) -> None:
    writes, reason = REFUSED[name]
    with pytest.raises(DataError, match=reason) as caught:
        read_images(written(tmp_path, *writes), 4)
    assert "\n" not in str(caught.value)


def test_several_bad_files_are_named_at_once(tmp_path: Path) -> None:
    files = written(tmp_path, *(lambda path: path.with_suffix(".jpg").touch() for _ in range(5)))
    with pytest.raises(DataError, match=r"0\.jpg .*1\.jpg .*2\.jpg .*; and 2 more$"):
        read_images(files, 4)


def test_images_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = written(tmp_path, saved(Image.new("L", (100, 100))))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6000)
    assert read_images(files, 4).shape == (1, 4, 4, 3)  # Pillow warns, which is an error in tests
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    with pytest.raises(DataError, match=r"0\.png cannot be read: DecompressionBombError.*; make it smaller"):
        read_images(files, 4)


def test_no_program_is_started_for_a_file(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("RGB", (4, 4)).save(content, "EPS")  # Ghostscript would read it
    (tmp_path / "0.png").write_bytes(content.getvalue())
    with pytest.raises(DataError, match="Pillow knows no such format"):
        read_images([tmp_path / "0.png"], 4)


def contents() -> dict[str, bytes]:
    """A small file of each format."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    found = {}
    for name in ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"):
        content = io.BytesIO()
        Image.fromarray(noise).save(content, name)
        found[name] = content.getvalue()
    content = io.BytesIO()
    Image.fromarray(noise[..., 0].astype(np.uint16)).save(content, "TIFF", compression="tiff_lzw")
    return {**found, "TIFF of 16 bits": content.getvalue()}


CONTENTS = contents()


@given(st.sampled_from(sorted(CONTENTS)), st.data())
@settings(max_examples=200)
def test_damaged_files_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    whole = CONTENTS[name]
    content = bytearray(whole[: data.draw(st.integers(1, len(whole)))] if data.draw(st.booleans()) else whole)
    places = (
        st.integers(0, min(len(content), 200) - 1) if data.draw(st.booleans()) else st.integers(0, len(content) - 1)
    )
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        content[place] = value
    file = tmp_path_factory.getbasetemp() / "damaged.png"
    file.write_bytes(content)
    try:
        assert read_images([file], 4).shape == (1, 4, 4, 3)
    except DataError as error:
        assert "damaged.png" in str(error) and "\n" not in str(error)
