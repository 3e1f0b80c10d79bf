import time
from pathlib import Path

import pyarrow.fs
import pytest

from raynas.errors import ContentError, OutsideError, SettingError, StorageError
from raynas.storage import location, retrying
from raynas.storage.bucket import Bucket
from raynas.storage.location import find_bucket, working_copy
from raynas.storage.retrying import retry
from tests.flaky_storage import flaky


def bucket(folder: Path, **trouble: float) -> Bucket:
    return Bucket(flaky(folder, **trouble), "there", "test:there")  # type: ignore[arg-type]


def test_files_go_there_and_come_back(tmp_path: Path) -> None:
    found, file = bucket(tmp_path), tmp_path / "file"
    assert found.files() == {} and found.folders() == []
    found.write("a", b"first")
    found.write("a", b"second")
    found.entry("inner/most").write("b", b"deep")
    file.write_bytes(b"x" * 1000)
    found.upload(file, "big")
    assert found.files() == {"a": 6, "big": 1000} and found.folders() == ["inner"]
    assert found.read("a", 6) == b"second" and (tmp_path / "there" / "inner" / "most" / "b").read_bytes() == b"deep"
    found.download("big", tmp_path / "copy", 1000)
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()
    for _ in range(2):  # what is not there needs no deletion
        found.delete("a")
        found.delete_folder("inner")
    assert found.files() == {"big": 1000} and found.folders() == []
    with pytest.raises(FileNotFoundError):
        found.read("a", 6)


def test_nothing_larger_than_allowed_is_read(tmp_path: Path) -> None:
    found = bucket(tmp_path)
    found.write("a", b"123")
    with pytest.raises(ContentError, match=r"test:there/a has more than 2 bytes"):
        found.read("a", 2)
    with pytest.raises(ContentError, match="more than 2 bytes"):
        found.download("a", tmp_path / "copy", 2)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/../../b", "a//b", "/a", "a\\b", "a\0"])
def test_no_name_leads_out_of_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutsideError, match="does not lie inside test:there"):
        bucket(tmp_path).entry(name)
    with pytest.raises(OutsideError):
        bucket(tmp_path).write(name, b"")


def test_failures_are_tried_again_until_all_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 1e-4)
    monkeypatch.setattr(retrying, "LONGEST_PAUSE", 1e-3)
    found, file = bucket(tmp_path, failures=0.3, seed=1), tmp_path / "file"
    file.write_bytes(b"0123456789" * 10)
    for n in range(30):
        found.upload(file, f"{n}")
        found.download(f"{n}", tmp_path / "copy", 100)
        assert (tmp_path / "copy").read_bytes() == file.read_bytes()
    assert found.files() == {str(n): 100 for n in range(30)}
    assert found.filesystem.handler.n_failures > 20


def test_what_fails_for_too_long_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "RETRY_SECONDS", 0.2)

    def fails() -> None:
        raise PermissionError("no access\nat all")

    began = time.monotonic()
    with pytest.raises(StorageError, match=r"cannot read it \(tried for 0 s\): PermissionError: no access at all"):
        retry(fails, "read it")
    assert 0.05 < time.monotonic() - began < 5


def test_what_a_storage_path_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(location, "LOCAL", str(tmp_path))
    assert find_bucket(str(tmp_path)) == tmp_path.resolve() == find_bucket(f"file://{tmp_path}")
    assert find_bucket(str(tmp_path), pyarrow.fs.LocalFileSystem()) == tmp_path.resolve()
    uri = "s3://key:secret@bucket/path?region=eu-west-1&endpoint_override=127.0.0.1:1"
    found = find_bucket(uri)
    assert isinstance(found, Bucket)
    assert (found.path, str(found)) == ("bucket/path", "s3://bucket/path"), "without what must not be shown"
    copy = working_copy(found, uri)
    assert copy.parent == tmp_path and copy.name.startswith("s3-bucket-path-")
    assert copy != working_copy(found, uri.replace("127.0.0.1:1", "127.0.0.1:2"))
    given = find_bucket("/a/b/", flaky(tmp_path))
    assert isinstance(given, Bucket) and (given.path, str(given)) == ("/a/b", "py-flaky:/a/b")
    assert working_copy(given, "/a/b/") == tmp_path / "py-flaky-a-b"


def test_what_is_no_storage_is_refused() -> None:
    with pytest.raises(SettingError, match=r"storage_path nowhere://x cannot be used: .*pyarrow must know it"):
        find_bucket("nowhere://me:secret@x")
    with pytest.raises(SettingError, match=r"storage_filesystem must be a pyarrow.fs.FileSystem, got str"):
        find_bucket("/x", "s3")
