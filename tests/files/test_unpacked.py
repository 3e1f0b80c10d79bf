"""Sizes of compressed files, known before they are unpacked."""

import gzip
import io
import zipfile
from pathlib import Path

import pytest

from raynas.errors import ContentError
from raynas.files import unpacked
from raynas.files.unpacked import check_ratio, check_zip, read_gzip


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    file.seek(0)
    return file


def test_an_honest_archive_is_left_at_its_beginning() -> None:
    file = zipped({"a": bytes(10**6), "b": b"x"})
    check_zip(file)
    assert file.tell() == 0


def test_an_archive_that_would_fill_the_memory() -> None:
    with pytest.raises(ContentError, match="unpack to 314572800 or more"):
        check_zip(zipped({f"{i}": bytes(3 * 10 * 2**20) for i in range(10)}))


def test_members_that_overlap() -> None:
    content = bytearray(zipped({"a": bytes(range(256)) * 4, "b": b""}, zipfile.ZIP_STORED).getvalue())
    first, second = content.find(b"PK\x01\x02"), content.rfind(b"PK\x01\x02")
    content[second + 20 : second + 28] = content[first + 20 : first + 28]  # both sizes are those of "a"
    content[second + 42 : second + 46] = content[first + 42 : first + 46]  # and so is the place
    with pytest.raises(ContentError, match="overlap"):
        check_zip(io.BytesIO(content))


def test_a_name_twice() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a", b"1")
            archive.writestr("a", b"2")
    with pytest.raises(ContentError, match="of one name"):
        check_zip(file)


def test_what_is_never_compressed() -> None:
    check_zip(zipped({"a": b"x" * 100}, zipfile.ZIP_STORED), compressed=False)
    with pytest.raises(ContentError, match="is compressed"):
        check_zip(zipped({"a": b"x" * 100}), compressed=False)


def test_a_ratio() -> None:
    check_ratio(1, unpacked.PLAUSIBLE_BYTES)
    check_ratio(2**30, 100 * 2**28)
    for packed, size in ((1, unpacked.PLAUSIBLE_BYTES + 1), (2**22, 101 * 2**22), (2**40, 2**36)):
        with pytest.raises(ContentError, match="store them uncompressed"):
            check_ratio(packed, size)


def test_gzip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(b"x" * 5 * 2**20))
    assert read_gzip(path) == b"x" * 5 * 2**20
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ContentError):
        read_gzip(path)
    path.write_bytes(gzip.compress(b"x" * 5 * 2**20))
    monkeypatch.setattr(unpacked, "PLAUSIBLE_BYTES", 2**20)
    with pytest.raises(ContentError, match="unpack to 2097152 or more"):
        read_gzip(path)
