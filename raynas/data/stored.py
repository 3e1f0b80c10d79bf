"""Encoded images where they are stored: a file each, or a part of a larger file."""

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FilePart:
    """A part of a file that is read like a file, as a member of a tar archive.

    Args:
        path: the file.
        offset: its first byte.
        length: number of bytes.
        name: its name in the file, for messages.
    """

    path: Path
    offset: int
    length: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} in {self.path}"

    def read_bytes(self) -> bytes:
        """Return the content."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)

    def open(self, mode: Literal["rb"]) -> BinaryIO:
        """Open the content for reading, by the same call as that of a path."""
        return io.BytesIO(self.read_bytes())


Stored = Path | FilePart
"""An encoded image; ``str`` gives its name for messages."""


class StoredImages(Protocol):
    """The encoded images of a data set, in a fixed order; small enough to send to other processes."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Stored: ...

    @property
    def fingerprint(self) -> str:
        """Digest of names, sizes and dates: two that are equal hold the same images."""


@dataclass(frozen=True, eq=False)
class StoredSet:
    """Encoded images and their labels.

    Args:
        images: those of all splits, one split after the other.
        labels: labels of each split, int64, in that order: "train" and, where there are any, "valid" and "test".
    """

    images: StoredImages
    labels: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class FolderImages:
    """Image files in a folder.

    Arrays, unlike lists of strings, go through Ray's object store without a copy, and forked processes share them.

    Args:
        root: the folder.
        names: paths below the folder, as bytes, shape ``(n,)``.
        fingerprint: see ``StoredImages``.
    """

    root: Path
    names: NDArray[np.bytes_]
    fingerprint: str

    @classmethod
    def of(cls, root: Path, files: Sequence[Path]) -> "FolderImages":
        """Look at the files.

        Raises:
            OSError: if one cannot be looked at.
        """
        names = [os.fsencode(os.path.relpath(file, root)) for file in files]
        digest = hashlib.sha256()
        for name, file in zip(names, files, strict=True):
            status = file.stat()
            digest.update(b"%s\0%d %d\0" % (name, status.st_size, status.st_mtime_ns))
        return cls(root, np.array(names), digest.hexdigest())

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Path:
        return self.root / os.fsdecode(self.names[index])
