"""DecodedCache: decoded images in a file that all processes of a node share, written as they are decoded."""

import logging
import shutil
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

FREE_SHARE = 0.5
"""Share of the free space that the images of a data set may take."""

_CHECKSUM_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class DecodedCache:
    """A file of images of one size, in the order of the data set, each behind its checksum.

    An image is used only if its checksum is right. So processes need not wait for each other: one that reads while
    another writes, or after a power cut, decodes the image itself. The file is read, not mapped into memory, because a
    mapped file ends the process when the disk is full.

    Args:
        path: the file; made when the first image is written.
        n_images: number of images of the data set.
        shape: shape of an image, uint8.
    """

    path: Path
    n_images: int
    shape: tuple[int, ...]

    @property
    def _record_bytes(self) -> int:
        return _CHECKSUM_BYTES + int(np.prod(self.shape))

    def read(self, indices: NDArray[np.int64], out: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Copy images into ``out``, ``(n, *shape)``; return which ones were there, ``(n,)``."""
        found = np.zeros(len(indices), bool)
        record = bytearray(self._record_bytes)
        pixels = memoryview(record)[_CHECKSUM_BYTES:]
        try:
            with self.path.open("rb", buffering=0) as file:
                for row, index in enumerate(indices.tolist()):
                    file.seek(index * len(record))
                    if file.readinto(record) == len(record) and record[:_CHECKSUM_BYTES] == _checksum(pixels):
                        out[row] = np.frombuffer(pixels, np.uint8).reshape(self.shape)
                        found[row] = True
        except OSError:  # not made yet, or deleted
            pass
        return found

    def write(self, indices: NDArray[np.int64], images: NDArray[np.uint8]) -> None:
        """Keep images, ``(n, *shape)``, as far as there is room on the disk."""
        try:
            if not self._is_made():
                return
            with self.path.open("r+b", buffering=0) as file:
                for index, image in zip(indices.tolist(), images, strict=True):
                    pixels = image.tobytes()
                    file.seek(index * self._record_bytes)
                    file.write(_checksum(pixels) + pixels)
        except OSError as error:
            _warn(f"decoded images are not kept in {self.path}: {error.strerror}")

    def holds(self, indices: NDArray[np.int64]) -> bool:
        """Return True if all of these images are in the file."""
        return bool(self.read(indices, np.empty((len(indices), *self.shape), np.uint8)).all())

    def _is_made(self) -> bool:
        """Make the file, sparse where the system can, unless it is there; return False if there is no room."""
        if self.path.exists():
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        needed, free = self.n_images * self._record_bytes, shutil.disk_usage(self.path.parent).free
        if needed > FREE_SHARE * free:
            _warn(
                f"decoded images are not kept in {self.path}: {needed / 1e9:.1f} GB are more than half of what is free"
            )
            return False
        with self.path.open("ab"):
            return True


@cache
def _warn(message: str) -> None:
    """Warn once in a process: every batch comes here."""
    logger.warning(message)


def _checksum(pixels: bytes | memoryview) -> bytes:
    return zlib.crc32(pixels).to_bytes(_CHECKSUM_BYTES, "little")
