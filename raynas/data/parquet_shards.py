"""Images in Parquet files, as data sets are published, rewritten as shards in one pass and little memory."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raynas.errors import DataError, one_line
from raynas.files.replacing import Replacing
from raynas.validate import is_number, require

LABELS = ("label", "labels", "class", "cls", "target", "fine_label")
"""Names of the column of labels, if none is given."""

ROWS_AT_A_TIME = 64


def write_shards(
    source: Path, folder: Path, part: str = "train", *, image: str = "", label: str = "", shard_mb: float = 500
) -> list[Path]:
    """Write the images and labels of Parquet files as ``folder/PART-00000.tar``, ...; see ``shards:PATH``.

    Args:
        source: a file, or a folder of files that end in .parquet.
        folder: the folder to write; made if missing.
        part: the split: "train", "valid" or "test".
        image: column of encoded images: bytes, or a struct with the field "bytes"; empty for the only such column.
        label: column of whole numbers from 0; empty for the one of ``LABELS``.
        shard_mb: size in MB (10^6 bytes), above 0, from which an archive is followed by another.

    Returns:
        The archives; none is left after an error, as some without the others would be taken for all.

    Raises:
        DataError: if a file cannot be read, its columns are ambiguous, or a row lacks an image or a label.
        OSError: if an archive cannot be written.
        ValueError: if ``shard_mb`` is not above 0.
    """
    require(is_number(shard_mb) and shard_mb > 0, "shard_mb must be a number above 0", shard_mb)
    folder.mkdir(parents=True, exist_ok=True)
    if others := sorted(folder.glob(f"{part}-*.tar")):
        raise DataError(f"{others[0]} is there already; choose another folder, or remove it")
    written: list[Path] = []
    try:
        _write(_rows(source, image, label), folder / part, shard_mb * 1e6, written)
    except BaseException:  # an interrupt too
        for path in written:
            path.unlink(missing_ok=True)
        raise
    if not written:
        raise DataError(f"{source} holds no rows")
    return written


def _write(rows: Iterator[tuple[bytes, int]], stem: Path, n_bytes: float, written: list[Path]) -> None:
    """Write archives, and add each to those ``written``."""
    number, row = 0, next(rows, None)
    while row is not None:
        path = stem.with_name(f"{stem.name}-{len(written):05}.tar")
        with Replacing(path) as draft, tarfile.open(draft, "w") as archive:
            while row is not None and archive.offset < n_bytes:
                _add(archive, f"{number:09}", *row)
                number, row = number + 1, next(rows, None)
        written.append(path)


def _add(archive: tarfile.TarFile, key: str, image: bytes, label: int) -> None:
    suffix = "png" if image.startswith(b"\x89PNG") else "jpg"  # others are recognised by their content
    for name, content in ((f"{key}.{suffix}", image), (f"{key}.cls", b"%d" % label)):
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))


def _rows(source: Path, image: str, label: str) -> Iterator[tuple[bytes, int]]:
    from pyarrow import ArrowException, parquet  # part of Ray Tune's requirements

    files = sorted(source.rglob("*.parquet")) if source.is_dir() else [source]
    if not files:
        raise DataError(f"{source} holds no file that ends in .parquet")
    for path in files:
        try:
            with parquet.ParquetFile(path) as file:
                columns = _columns(file.schema_arrow, path, image, label)
                number = 0
                for rows in file.iter_batches(ROWS_AT_A_TIME, columns=list(columns)):
                    for content, target in zip(*(rows.column(name).to_pylist() for name in columns), strict=True):
                        yield _checked(content, target, f"row {number} of {path}")
                        number += 1
        except (ArrowException, OSError) as error:
            raise DataError(f"{path} cannot be read: {one_line(error)}; it must be a whole Parquet file") from None


def _columns(schema: Any, path: Path, image: str, label: str) -> tuple[str, str]:
    from pyarrow import types

    def is_image(kind: Any) -> bool:
        fields = [kind.field(i).name for i in range(kind.num_fields)] if types.is_struct(kind) else []
        return types.is_binary(kind) or types.is_large_binary(kind) or "bytes" in fields

    images = [field.name for field in schema if is_image(field.type) and image in ("", field.name)]
    labels = [
        field.name
        for field in schema
        if types.is_integer(field.type) and (field.name == label if label else field.name in LABELS)
    ]
    for found, what, option in ((images, "encoded images", "image"), (labels, "whole-number labels", "label")):
        if len(found) != 1:
            held = ", ".join(f"{field.name} ({field.type})" for field in schema)
            raise DataError(f"{path} has {len(found)} columns of {what}: name one with {option}; it holds {held:.300}")
    return images[0], labels[0]


def _checked(image: Any, label: Any, where: str) -> tuple[bytes, int]:
    content = image.get("bytes") if isinstance(image, dict) else image
    if not content:
        raise DataError(f"{where} holds no image; images by path are not read, write them into the file")
    if not isinstance(content, bytes):
        raise DataError(f"{where} holds an image of type {type(content).__name__}; write its encoded bytes")
    if label is None or label < 0:
        raise DataError(f"{where} holds label {label}; number the classes from 0")
    return content, label
