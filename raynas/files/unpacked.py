"""Compressed files of unknown origin: their size once they are unpacked is known before it is used."""

import gzip
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from raynas.errors import ContentError

MAX_UNPACKED_BYTES = 32 * 2**30
"""Largest size of arrays or a table in memory."""

PLAUSIBLE_BYTES, PLAUSIBLE_RATIO = 2**28, 100
"""A file that unpacks to more than both, this size and this multiple of its size, was made to fill the memory."""

MAX_MEMBERS = 100_000
"""Largest number of files in an archive."""


def check_zip(file: BinaryIO, *, compressed: bool = True) -> None:
    """Refuse a zip archive that would fill the memory, from its list of contents alone.

    Args:
        file: the archive, at its beginning; it is left there.
        compressed: whether the program that writes such archives compresses them.

    Raises:
        ContentError: if it is too large, has a name twice, or its members overlap.
        zipfile.BadZipFile: if it is no zip archive.
    """
    packed = file.seek(0, 2)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    file.seek(0)
    if len(members) > MAX_MEMBERS or len({member.filename for member in members}) < len(members):
        raise ContentError(f"it has {len(members)} members, some of one name or too many")
    if sum(member.compress_size for member in members) > packed:
        raise ContentError("its members overlap")
    if not compressed and any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ContentError("it is compressed, which such files never are")
    check_ratio(packed, sum(member.file_size for member in members))


def check_ratio(packed: int, unpacked: int) -> None:
    """Refuse a size that no honest file of ``packed`` bytes unpacks to.

    Raises:
        ContentError: if it is.
    """
    if unpacked > MAX_UNPACKED_BYTES or unpacked > max(PLAUSIBLE_BYTES, PLAUSIBLE_RATIO * packed):
        raise ContentError(f"{packed} bytes unpack to {unpacked} or more; if that is right, store them uncompressed")


def read_gzip(path: Path) -> bytes:
    """Return the unpacked content of a gzip file.

    Raises:
        ContentError: if it unpacks to more than is plausible, or is damaged.
        OSError: if it cannot be read.
    """
    packed, content = path.stat().st_size, BytesIO()
    try:
        with gzip.open(path) as file:
            while block := file.read(2**20):
                content.write(block)
                check_ratio(packed, content.tell())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ContentError(str(error)) from None
    return content.getvalue()
