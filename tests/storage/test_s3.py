"""The folder of a search in a bucket that speaks S3, as the flaky storage of the other tests does not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from raynas.core.archive import Archive
from raynas.errors import BusyError, StorageError
from raynas.storage import lease, replica
from raynas.storage.bucket import Bucket
from raynas.storage.location import find_bucket
from raynas.storage.replica import Replica
from tests.s3_server import CREDENTIALS, s3_server


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    pytest.importorskip("moto.server")
    with pytest.MonkeyPatch.context() as patch, s3_server() as found:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield found


def bucket(uri: str) -> Bucket:
    found = find_bucket(uri)
    assert isinstance(found, Bucket)
    return found


def test_files_and_folders(uri: str, tmp_path: Path) -> None:
    folder = bucket(uri).entry("files")
    assert str(folder) == "s3://bucket/results/files"
    assert folder.files() == {} and folder.folders() == []
    (tmp_path / "file").write_bytes(b"x" * 10_000_000)  # more than one part
    folder.upload(tmp_path / "file", "big")
    folder.write("small", b"1")
    folder.write("small", b"22")
    folder.entry("trial/checkpoint_000001").write("meta.json", b"{}")
    assert folder.files() == {"big": 10_000_000, "small": 2} and folder.folders() == ["trial"]
    folder.download("big", tmp_path / "copy", 10_000_000)
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "file").read_bytes()
    for _ in range(2):
        folder.delete("small")
        folder.entry("trial").delete_folder("checkpoint_000001")
    assert folder.files() == {"big": 10_000_000} and folder.entry("trial").folders() == []
    with pytest.raises(FileNotFoundError):
        folder.read("small", 10)


def test_an_archive_goes_from_machine_to_machine(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(lease, "QUIET_SECONDS", 0.5)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(replica, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(lease, "CONFIRM_SECONDS", 0.0)
    for n in range(3):
        found = Replica(bucket(uri).entry("search"), tmp_path / f"{n}", "archive.jsonl")
        found.begin()
        archive = Archive(tmp_path / f"{n}" / "archive.jsonl")
        found.start(archive)
        assert [record["trial"] for record in archive] == [str(k) for k in range(n)]
        archive.append("waited", trial=str(n))
        if n == 1:
            with pytest.raises(BusyError, match="runs this search in s3://bucket/results/search"):
                Replica(bucket(uri).entry("search"), tmp_path / "other", "archive.jsonl").begin()
        archive.close()
        found.finish()


def test_a_bucket_that_is_not_there_is_said(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "PATIENCE_SECONDS", 0.2)
    missing = bucket(uri.replace("s3://bucket/", "s3://missing/"))
    with pytest.raises(StorageError, match=r"cannot (write|list) s3://missing/results"):
        Replica(missing, tmp_path, "archive.jsonl").begin()
