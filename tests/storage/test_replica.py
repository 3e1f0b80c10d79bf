import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raynas.core.archive import Archive
from raynas.errors import ArchiveError, BusyError, StorageError
from raynas.storage import lease, replica, retrying
from raynas.storage.bucket import Bucket
from raynas.storage.replica import Replica
from raynas.storage.segments import read_archive
from tests.flaky_storage import flaky

FILE = "archive.jsonl"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(replica, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(lease, "QUIET_SECONDS", 0.3)
    monkeypatch.setattr(lease, "CONFIRM_SECONDS", 0.0)
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 0.002)


def bucket(folder: Path, **trouble: float) -> Bucket:
    return Bucket(flaky(folder / "bucket", **trouble), "search", "test:search")  # type: ignore[arg-type]


@contextmanager
def driver(stored: Bucket, path: Path) -> Iterator[tuple[Replica, Archive]]:
    """A driver that ends in order."""
    found, archive = lost_driver(stored, path)
    try:
        yield found, archive
    finally:
        archive.close()
        found.finish()


def lost_driver(stored: Bucket, path: Path) -> tuple[Replica, Archive]:
    """A driver that runs until it is killed."""
    found = Replica(stored, path, FILE)
    found.begin()
    archive = Archive(path / FILE)
    found.start(archive)
    return found, archive


def kill(found: Replica, archive: Archive) -> None:
    """Let a driver disappear as a SIGKILL does."""
    found._ends.set()
    found._released.set()
    for thread in found._threads:
        thread.join()
    archive.close()
    assert found._lock
    found._lock.close()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)


def names(archive: Archive) -> list[str]:
    return [record["trial"] for record in archive]


def test_another_machine_goes_on_from_the_bucket_alone(tmp_path: Path) -> None:
    stored = bucket(tmp_path)
    for n in range(4):
        with driver(stored, tmp_path / f"machine {n}") as (_, archive):
            assert names(archive) == [str(k) for k in range(n)]
            archive.append("waited", trial=str(n))
            (tmp_path / f"machine {n}" / "report.html").write_text(f"of {n}")
    assert stored.read("report.html", 99) == b"of 3"
    assert not (tmp_path / "bucket" / "search" / "driver.json").exists()


def test_events_are_there_a_moment_after_they_were_written(tmp_path: Path) -> None:
    stored = bucket(tmp_path)
    with driver(stored, tmp_path / "here") as (_, archive):
        for n in range(100):
            archive.append("waited", trial=str(n))
            if n % 10 == 0:
                time.sleep(0.02)
        file = tmp_path / "here" / FILE
        until(lambda: read_archive(stored)[0] == file.read_bytes())
        assert len(read_archive(stored)[1]) > 1


def test_what_a_killed_driver_had_written_is_completed_on_its_own_machine(tmp_path: Path) -> None:
    stored, path = bucket(tmp_path), tmp_path / "here"
    found, archive = lost_driver(stored, path)
    archive.append("waited", trial="1")
    until(lambda: read_archive(stored)[1])
    kill(found, archive)
    last = Archive(path / FILE)
    last.append("waited", trial="2")  # written, but not uploaded
    last.close()
    with (path / FILE).open("ab") as file:
        file.write(b'{"event": "wai')
    began = time.monotonic()
    with driver(stored, path) as (_, archive):
        assert names(archive) == ["1", "2"]
    assert time.monotonic() - began < 0.3, "its last driver is known to be gone"
    with driver(stored, tmp_path / "there") as (_, archive):
        assert names(archive) == ["1", "2"]


def test_the_bucket_counts_where_another_machine_went_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stored, here, there = bucket(tmp_path), tmp_path / "here", tmp_path / "there"
    with driver(stored, here) as (_, archive):
        archive.append("waited", trial="1")
    last = Archive(here / FILE)
    last.append("waited", trial="lost with the machine")
    last.close()
    with driver(stored, there) as (_, archive):
        archive.append("waited", trial="2")
    with driver(stored, here) as (_, archive):
        assert names(archive) == ["1", "2"]
    assert "another machine went on with this search" in caplog.text
    assert names(Archive.load(here / "archive-before-3.jsonl")) == ["1", "lost with the machine"]


def test_deletions_wait_for_the_events_that_say_why(tmp_path: Path) -> None:
    stored, done = bucket(tmp_path), []
    with driver(stored, tmp_path / "here") as (found, archive):
        archive.append("waited", trial="1")
        size = (tmp_path / "here" / FILE).stat().st_size
        found.later("1", lambda: done.append(len(read_archive(stored)[0]) >= size))
        until(lambda: done)
    assert done == [True]


def test_an_outage_costs_nothing_but_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stored = bucket(tmp_path)
    with driver(stored, tmp_path / "here") as (found, archive):
        archive.append("waited", trial="1")
        until(lambda: read_archive(stored)[1])
        handler = found.bucket.filesystem.handler
        found.bucket = Bucket(stored.filesystem, stored.path, stored.shown, patience=0.02)
        settings, handler.settings = handler.settings, (handler.settings[0], 1.0, 0.0, 0)
        archive.append("waited", trial="2")
        until(lambda: "the search goes on, and what the bucket lacks is kept in" in caplog.text)
        handler.settings = settings
        until(lambda: "test:search has all events again" in caplog.text)
    assert caplog.text.count("what the bucket lacks is kept") == 1
    with driver(stored, tmp_path / "there") as (_, archive):
        assert names(archive) == ["1", "2"]


def test_a_storage_that_delays_and_fails_at_random_loses_nothing(tmp_path: Path) -> None:
    for n in range(3):
        stored = bucket(tmp_path, failures=0.15, delay=0.002, seed=n)
        with driver(stored, tmp_path / f"machine {n}") as (_, archive):
            assert names(archive) == [str(k) for k in range(40 * n)]
            for k in range(40 * n, 40 * n + 40):
                archive.append("waited", trial=str(k))
                time.sleep(0.002)
        assert stored.filesystem.handler.n_failures > 0


def test_two_drivers_at_a_time_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stored = bucket(tmp_path)
    with driver(stored, tmp_path / "here") as (_, archive):
        with pytest.raises(BusyError, match="runs this search in test:search"):
            lost_driver(stored, tmp_path / "there")
        with pytest.raises(BusyError, match="another search is writing"):  # without looking at the bucket
            lost_driver(stored, tmp_path / "here")
        archive.append("waited", trial="1")
    assert "lacks" not in caplog.text


def test_a_driver_that_was_taken_over_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    stored = bucket(tmp_path)
    found, archive = lost_driver(stored, tmp_path / "here")
    found._lease.beat = lambda: None  # type: ignore[method-assign]  # it is silent, as a machine that is suspended
    archive.append("waited", trial="1")
    until(lambda: read_archive(stored)[1])
    with driver(stored, tmp_path / "there") as (_, new):
        assert names(new) == ["1"]
        new.append("waited", trial="2")
        del found._lease.beat
        until(lambda: archive.failure)
        with pytest.raises(ArchiveError, match="has taken over this search"):
            archive.append("waited", trial="3")
        archive.close()
        found.finish()
    with driver(stored, tmp_path / "elsewhere") as (_, archive):
        assert names(archive) == ["1", "2"]


def test_a_bucket_that_cannot_be_reached_is_said_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "PATIENCE_SECONDS", 0.1)
    with pytest.raises(StorageError, match="cannot list test:search/archive"):
        lost_driver(bucket(tmp_path, failures=1.0), tmp_path / "here")
    assert not (tmp_path / "here" / FILE).exists()


def test_the_working_copy_of_another_bucket_is_refused(tmp_path: Path) -> None:
    with driver(bucket(tmp_path), tmp_path / "here"):
        pass
    other = Bucket(flaky(tmp_path / "bucket"), "other", "test:other")
    with pytest.raises(ArchiveError, match="here is the working copy of test:search, not of test:other"):
        lost_driver(other, tmp_path / "here")


def test_small_segments_become_large_ones_during_a_search(tmp_path: Path) -> None:
    stored = bucket(tmp_path)
    with driver(stored, tmp_path / "here") as (found, archive):
        for n in range(100):
            archive.append("waited", trial=str(n))
            size = (tmp_path / "here" / FILE).stat().st_size
            until(lambda size=size: found._end == size)  # type: ignore[misc]
    assert len(stored.entry("archive").files()) < 40
    shutil.rmtree(tmp_path / "here")
    with driver(stored, tmp_path / "here") as (_, archive):
        assert names(archive) == [str(n) for n in range(100)]
