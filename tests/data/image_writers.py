"""Image files as cameras, microscopes and programs write them, for tests."""

import struct
import zlib
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raynas.data.image_files import read_images

Write = Callable[[Path], object]
"""Writes a file of this path; it chooses the suffix."""


Page = tuple[bytes | list[bytes], dict[int, tuple[int, ...]]]


def tiff(*pages: Page, order: str = "<") -> Write:
    """A TIFF file of pages of 4 by 4 pixels, in one strip or several, with tags that Pillow does not write."""

    def packed(tag: int, values: tuple[int, ...]) -> bytes:
        return struct.pack(f"{order}{len(values)}{'I' if tag in (273, 279) else 'H'}", *values)

    def page(pixels: bytes | list[bytes], tags: dict[int, tuple[int, ...]], start: int, *, last: bool) -> bytes:
        strips = [pixels] if isinstance(pixels, bytes) else pixels
        usual = {256: (4,), 257: (4,), 258: (8,), 259: (1,), 262: (1,), 277: (1,), 278: (4,)}
        fields = {**usual, 273: (0,) * len(strips), 279: tuple(map(len, strips)), **tags}
        end = start + 2 + 12 * len(fields) + 4
        large = {tag: packed(tag, values) for tag, values in fields.items() if len(packed(tag, values)) > 4}
        places = dict(zip(large, accumulate(map(len, large.values()), initial=end), strict=False))
        *offsets, after = accumulate(map(len, strips), initial=end + sum(map(len, large.values())))
        if 273 in large:
            large[273] = packed(273, tuple(offsets))
        fields[273] = tuple(offsets)
        content = struct.pack(f"{order}H", len(fields))
        for tag, values in sorted(fields.items()):
            value = struct.pack(f"{order}I", places[tag]) if tag in places else packed(tag, values).ljust(4, b"\0")
            content += struct.pack(f"{order}HHI", tag, 4 if tag in (273, 279) else 3, len(values)) + value
        return content + struct.pack(f"{order}I", 0 if last else after) + b"".join([*large.values(), *strips])

    def write(path: Path) -> None:
        content = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8)
        for i, (pixels, tags) in enumerate(pages):
            content += page(pixels, tags, len(content), last=i + 1 == len(pages))
        path.with_suffix(".tif").write_bytes(content)

    return write


def png(depth: int, colour: int, row: bytes, **chunks: bytes) -> Write:
    """A PNG file of 4 equal rows of 4 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    def write(path: Path) -> None:
        header = struct.pack(">IIBBBBB", 4, 4, depth, colour, 0, 0, 0)
        more = b"".join(chunk(kind.encode(), content) for kind, content in chunks.items())
        content = chunk(b"IHDR", header) + more + chunk(b"IDAT", zlib.compress((b"\0" + row) * 4)) + chunk(b"IEND", b"")
        path.with_suffix(".png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)

    return write


def saved(image: Image.Image, suffix: str = ".png", **options: Any) -> Write:
    return lambda path: image.save(path.with_suffix(suffix), **options)


def grey(values: NDArray[Any] | float, dtype: Any, suffix: str = ".tiff", **options: Any) -> Write:
    return saved(Image.fromarray(np.full((4, 4), values).astype(dtype)), suffix, **options)


def written(folder: Path, *writes: Write) -> list[Path]:
    for i, write in enumerate(writes):
        write(folder / str(i))
    return sorted(folder.iterdir())


def means(folder: Path, *writes: Write) -> list[list[float]]:
    """The mean of each channel of each image."""
    images = read_images(written(folder, *writes), 4)
    assert images.shape == (len(writes), 4, 4, 3)
    return images.astype(float).mean(axis=(1, 2)).tolist()  # type: ignore[no-any-return]


DEFLATED = {259: (8,)}
"""The tag of pixels that are compressed by ``zlib.compress``."""
