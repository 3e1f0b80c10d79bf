"""Shards: tar archives of images and labels, as WebDataset writes them.

The members of a sample follow each other and share a key: ``000017.jpg`` and ``000017.cls``, a class from 0 in digits.
Archives are indexed once and images are then read where they are, in any order. So nothing is extracted, no name is a
path, no content but images and digits is decoded, and shuffling, splits and halves are those of other images.
"""

import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raynas.data.image_folders import IMAGE_SUFFIXES, split_named, splits_in
from raynas.data.stored import FilePart, StoredSet
from raynas.errors import DataError, one_line

MAX_LABEL_BYTES = 16
"""Size of a label, in bytes, up to which it is read."""


@dataclass(frozen=True, eq=False)
class ShardImages:
    """Images in tar archives; ``StoredImages``.

    Args:
        paths: the archives.
        shards: index of the archive of each image, shape ``(n,)``.
        offsets: first byte of each image in its archive, likewise.
        lengths: number of bytes, likewise.
        names: names in the archive, as bytes, likewise.
        fingerprint: see ``StoredImages``.
    """

    paths: Sequence[Path]
    shards: NDArray[np.int64]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    names: NDArray[np.bytes_]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, index: int) -> FilePart:
        name = self.names[index].decode("utf-8", "replace")
        return FilePart(self.paths[self.shards[index]], int(self.offsets[index]), int(self.lengths[index]), repr(name))


def read_shards(path: Path) -> StoredSet:
    """Index the images in a tar archive, or in those of a folder.

    Archives are of the split that their name or their folder says, as ``train-0001.tar`` or ``val/0001.tar``; if none
    says one, all are of the training split.

    Raises:
        DataError: if an archive cannot be read, is compressed or holds no samples, or a sample lacks image or label.
    """
    try:
        parts = _archives(path)
        index = _Index()
        labels = {
            part: np.array([label for file in files for label in index.add(file)], np.int64)
            for part, files in parts.items()
        }
        return StoredSet(index.images(), labels)
    except OSError as error:
        raise DataError(f"shards:{path} cannot be read: {one_line(error)}") from None


def _archives(path: Path) -> dict[str, list[Path]]:
    """Return the archives of each split, in order."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*.tar") if file.is_file())
    if not path.exists():
        raise DataError(
            f"shards:{path} is no file or folder of this machine; archives elsewhere must be copied or mounted"
        )
    if not files:
        raise DataError(f"shards:{path} holds no file that ends in .tar; compressed archives must be unpacked")
    named = {file: _split_of(file, path) for file in files}
    parts: dict[str, list[Path]] = {}
    for part in ("train", "valid", "test"):
        if chosen := [file for file in files if named[file] == part]:
            parts[part] = chosen
    if not parts:
        return {"train": files}
    if strangers := [file for file in files if not named[file]]:
        raise DataError(
            f"shards:{path}: {strangers[0].name} is not named after a split (train, valid, test), others are"
        )
    if "train" not in parts:
        raise DataError(f"shards:{path} has archives of {' and '.join(parts)}, but none of train; rename them")
    return parts


def _split_of(file: Path, root: Path) -> str:
    inner = file.relative_to(root).parts[:-1] if root.is_dir() else ()
    found = {part for folder in inner if (part := split_named(folder))} | splits_in(file.stem)
    if len(found) > 1:
        raise DataError(f"{file} is named after the splits {' and '.join(sorted(found))}; name it after one")
    return found.pop() if found else ""


@dataclass
class _Index:
    """Places of the images found so far."""

    paths: list[Path] = field(default_factory=list)
    places: list[tuple[int, int, int]] = field(default_factory=list)
    names: list[bytes] = field(default_factory=list)

    def add(self, file: Path) -> Iterator[int]:
        """Add the images of an archive; yield their labels."""
        number, before = len(self.paths), len(self.places)
        self.paths.append(file)
        for image, label in _samples(file):
            self.places.append((number, image.offset_data, image.size))
            self.names.append(image.name.encode("utf-8", "surrogateescape"))
            yield label
        if len(self.places) == before:
            raise DataError(f"shard {file} holds no samples, such as 0.jpg and 0.cls; remove it or write it again")

    def images(self) -> ShardImages:
        shards, offsets, lengths = np.array(self.places, np.int64).T
        digest = hashlib.sha256()
        for file in self.paths:
            status = file.stat()
            digest.update(repr((file.name, status.st_size, status.st_mtime_ns)).encode())
        return ShardImages(self.paths, shards, offsets, lengths, np.array(self.names), digest.hexdigest())


def _samples(file: Path) -> Iterator[tuple[tarfile.TarInfo, int]]:
    """Yield the image and the label of each sample in an archive."""
    key, sample = "", dict[str, tarfile.TarInfo | int]()
    try:
        with tarfile.open(file, "r:") as archive:
            while member := archive.next():
                archive.members = []  # type: ignore[attr-defined]  # a list that grows with the archive
                if not member.isreg() or member.sparse is not None:
                    continue
                name, suffix = _key_of(member.name)
                if name != key and sample:
                    yield _whole(sample, key, file)
                    sample = {}
                key = name
                if suffix == ".cls":
                    sample[suffix] = _label(archive, member, file)
                elif suffix in IMAGE_SUFFIXES:
                    if "image" in sample:
                        raise DataError(f"sample {key!r} in {file} has two images; keep one, or write the shard again")
                    sample["image"] = member
            _check_end(archive, file)
            if sample:
                yield _whole(sample, key, file)
    except tarfile.TarError as error:
        raise DataError(
            f"shard {file} cannot be read: {one_line(error)}; it must be a whole tar archive that is not compressed"
        ) from None


def _check_end(archive: tarfile.TarFile, file: Path) -> None:
    """Refuse an archive that ends without a block of zeros: tarfile takes what is cut off or damaged for its end."""
    with file.open("rb") as stream:
        stream.seek(archive.offset)
        if stream.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
            raise DataError(
                f"shard {file} is cut off or damaged at byte {archive.offset} of {file.stat().st_size}; copy or write "
                "it again"
            )


def _key_of(name: str) -> tuple[str, str]:
    """Split a name at the first dot behind its folder, as WebDataset does: ``a/17.right.jpg`` is ``.right.jpg``."""
    folder, slash, last = name.rpartition("/")
    key, dot, suffix = last.partition(".")
    return folder + slash + key, (dot + suffix).casefold()


def _whole(sample: dict[str, tarfile.TarInfo | int], key: str, file: Path) -> tuple[tarfile.TarInfo, int]:
    image, label = sample.get("image"), sample.get(".cls")
    if not isinstance(image, tarfile.TarInfo) or not isinstance(label, int):
        held = "a label but no image" if image is None else "an image but no label"
        raise DataError(
            f"sample {key!r} in {file} has {held}; each needs both, one after the other, as 0.jpg and 0.cls"
        )
    return image, label


def _label(archive: tarfile.TarFile, member: tarfile.TarInfo, file: Path) -> int:
    content = b""
    if member.size <= MAX_LABEL_BYTES and (stream := archive.extractfile(member)):
        content = stream.read()
    if not content.strip().isdigit():
        shown = repr(content) if content else f"{member.size} bytes"
        raise DataError(f"label {member.name!r} in {file} must be a class from 0 in digits, got {shown}")
    return int(content)
