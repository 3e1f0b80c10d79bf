import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle

from raynas.core.architecture import Architecture
from raynas.core.archive import Archive
from raynas.core.evaluation import Evaluation
from raynas.errors import ArchiveError

FIRST: dict[str, Any] = {"trial": "1", "config": {"arch": {"op": "conv"}, "lr": 0.1}, "costs": {"params": 7.0}}
ENDED: dict[str, Any] = {"trial": "1", "status": "finished", "fidelity": 3, "metrics": {"accuracy": 0.5}, "error": ""}
SESSION: dict[str, Any] = {
    **{"space": "s 1", "trainable": "t", "objectives": ["max:accuracy"], "constraints": [], "strategy": "Random()"},
    **{"seed": 1, "num_samples": 9, "baseline": {}, "code": {}, "data": {}},
}
SECOND: dict[str, Any] = {"trial": "2", "config": {"arch": {"op": "überpool\n"}}, "costs": {}}


def filled(path: Path) -> list[dict[str, Any]]:
    with closing(Archive(path)) as archive:
        archive.append("proposed", **FIRST)
        archive.append("ended", **ENDED)
        archive.append("proposed", **SECOND)
        return list(archive)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder" / "archive.jsonl"


def test_a_reload_equals_what_was_appended(path: Path) -> None:
    records = filled(path)
    assert [record["event"] for record in records] == ["proposed", "ended", "proposed"]
    assert list(Archive.load(path)) == records
    with closing(Archive(path)) as again:
        assert list(again) == records and len(again) == 3
        again.append("result", trial="2", fidelity=1, metrics={})
    last = {"event": "result", "trial": "2", "fidelity": 1, "metrics": {}}
    assert list(Archive.load(path)) == [*records, last]


def test_a_record_is_on_disk_when_append_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(path.read_bytes()))
    with closing(Archive(path)) as archive:
        archive.append("session", seed=0)
        archive.append("session", seed=1)
    lines = [b'{"event": "session", "seed": 0}\n', b'{"event": "session", "seed": 1}\n']
    assert synced == [lines[0], lines[0] + lines[1]]


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    archive = Archive()
    archive.append("proposed", **FIRST)
    archive.close()
    assert len(archive) == 1 and not list(tmp_path.iterdir())


def test_a_half_written_last_line_is_dropped_at_every_byte(path: Path) -> None:
    records = filled(path)
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        n_kept = whole[:length].count(b"\n")
        assert list(Archive.load(path)) == records[:n_kept]
        with closing(Archive(path)) as archive:
            assert list(archive) == records[:n_kept]
            archive.append("proposed", **SECOND)
        assert list(Archive.load(path)) == [*records[:n_kept], {"event": "proposed", **SECOND}]


def test_a_last_line_of_zeros_is_dropped(path: Path) -> None:
    """What some file systems leave after a power cut."""
    records = filled(path)
    path.write_bytes(path.read_bytes() + bytes(100))
    with closing(Archive(path)) as archive:
        assert list(archive) == records


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"null", b"[]", b'"event"', b'{"trial": "1"}', b"\xff\xfe", bytes(9), b"[" * 10**5]
)
def test_a_damaged_line_is_named(path: Path, damage: bytes) -> None:
    filled(path)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], damage, *lines[2:]]))
    before = path.read_bytes()
    for read in (Archive, Archive.load):
        with pytest.raises(ArchiveError, match=r"archive\.jsonl, line 2 is damaged; repair or remove that line"):
            read(path)
    assert path.read_bytes() == before


def test_removing_a_damaged_line_is_enough(path: Path) -> None:
    """As the message advises; a trial of which only the end is left is as good as none."""
    records = filled(path)
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])
    archive = Archive.load(path)
    assert list(archive) == records[1:]
    assert archive.evaluations == []
    assert set(archive.unfinished()) == {"2"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_one_writer_at_a_time(path: Path) -> None:
    filled(path)
    program = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdin
        holder.stdout.readline()
        with pytest.raises(ArchiveError, match=r"another search is writing .*; wait for it, or choose another name"):
            Archive(path)
        assert len(Archive.load(path)) == 3  # a report may read
        holder.kill()  # and a lock must not outlive its process
        holder.wait()
        with closing(Archive(path)) as archive:
            assert len(archive) == 3
            with pytest.raises(ArchiveError, match="another search is writing"):
                Archive(path)
    with closing(Archive(path)) as archive:
        archive.append("session")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "archive.jsonl", tmp_path / "folder", Path("/proc/raynas/archive.jsonl")):
        with pytest.raises(ArchiveError, match=f"cannot write the archive {path}: .*; choose another folder"):
            Archive(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no folders without write permission")
def test_a_read_only_folder_is_named(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o555)
    with not_root(), pytest.raises(ArchiveError, match="Permission denied; choose another folder"):
        Archive(path)


@contextmanager
def not_root() -> Iterator[None]:
    """Nothing is read-only for root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_missing_file_cannot_be_loaded(path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"cannot read the archive .*: No such file"):
        Archive.load(path)


@contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    """Files can grow no further, as on a full disk."""
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file's size")
@pytest.mark.parametrize("n_left", [0, 1, 40])
def test_a_full_disk_costs_the_last_record_only(path: Path, n_left: int) -> None:
    records = filled(path)
    whole = path.read_bytes()
    with closing(Archive(path)) as archive:
        with (
            file_size_limit(len(whole) + n_left),
            pytest.raises(ArchiveError, match=r"cannot write the archive .*; free some space and run the same command"),
        ):
            archive.append("ended", **ENDED, **{"filler": "x" * 100})
        assert path.read_bytes() == whole
        assert list(archive) == records
        with pytest.raises(ArchiveError, match="free some space"):
            archive.append("session", seed=1)  # space again, but a gap is nothing to go on from
    with closing(Archive(path)) as archive:
        archive.append("session", **SESSION)
    assert list(Archive.load(path)) == [*records, {"event": "session", **SESSION}]


def test_a_failing_sync_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = filled(path)

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with closing(Archive(path)) as archive:
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(ArchiveError, match="Input/output error"):
            archive.append("session")
        assert list(archive) == records
    assert list(Archive.load(path)) == records


def test_what_json_cannot_hold_is_refused_before_it_is_written(path: Path) -> None:
    with closing(Archive(path)) as archive:
        for value in (float("nan"), object()):
            with pytest.raises((ValueError, TypeError)):
                archive.append("ended", metrics={"accuracy": value})
        assert len(archive) == 0 and path.read_bytes() == b""


def test_a_copy_never_writes(path: Path) -> None:
    with closing(Archive(path)) as archive:
        archive.append("proposed", **FIRST)
        copy = cloudpickle.loads(cloudpickle.dumps(archive))
        assert list(copy) == list(archive) and copy.path is None
        copy.append("ended", **ENDED)
        assert len(copy) == 2 and len(archive) == 1
        archive.append("proposed", **SECOND)
        assert len(copy) == 2
    assert [record["event"] for record in Archive.load(path)] == ["proposed", "proposed"]


def test_a_closed_archive_can_be_read(path: Path) -> None:
    archive = Archive(path)
    archive.append("session")
    archive.close()
    archive.close()
    assert len(archive) == 1


def test_dump_is_what_load_reads(path: Path, tmp_path: Path) -> None:
    records = filled(path)
    Archive.load(path).dump(tmp_path / "copy")
    assert list(Archive.load(tmp_path / "copy")) == records
    assert [json.loads(line) for line in (tmp_path / "copy").read_text().splitlines()] == records


def test_evaluations_join_proposals_and_ends() -> None:
    archive = Archive()
    archive.append("proposed", **FIRST)
    archive.append("proposed", **SECOND)
    assert archive.evaluations == []
    assert archive.unfinished() == {"1": {"event": "proposed", **FIRST}, "2": {"event": "proposed", **SECOND}}
    archive.append("ended", **ENDED)
    arch = Architecture({"op": "conv"})
    assert archive.evaluations == [
        Evaluation(arch, {"accuracy": 0.5}, 3, "finished", trial="1", hyperparameters={"lr": 0.1})
    ]
    assert set(archive.unfinished()) == {"2"}
    assert archive.events("ended") == [{"event": "ended", **ENDED}]


# --- attempts and restarts --------------------------------------------------------------------------------------------


def test_a_trial_begins_again_as_if_it_had_never_run(path: Path) -> None:
    with closing(Archive(path)) as archive:
        archive.append("proposed", **FIRST)
        archive.append("result", trial="1", fidelity=1, metrics={})
        archive.append("lost", trial="1", suspect=False, reason="")
        archive.append("ended", **{**ENDED, "status": "failed"})
        archive.append("proposed", **SECOND)
        archive.append("ended", **{**ENDED, "trial": "2"})
        archive.retry(["1"])
        for known in (archive, Archive.load(path)):
            assert [record["event"] for record in known] == ["proposed", "proposed", "ended", "retried"]
            assert list(known.unfinished()) == ["1"]
            assert [e.trial for e in known.evaluations] == ["2"]
        archive.append("result", trial="1", fidelity=1, metrics={})
        archive.append("ended", **ENDED)
    again = Archive.load(path)
    assert [(e.trial, e.status) for e in again.evaluations] == [("2", "finished"), ("1", "finished")]
    assert len(again.events("result")) == 1 and again.unfinished() == {}
    assert path.read_text().count('"ended"') == 3, "nothing is deleted from the file"


def test_measured_at_the_end_replaces_what_a_trial_measured(path: Path) -> None:
    with closing(Archive(path)) as archive:
        archive.append("proposed", **FIRST)
        archive.append("ended", **{**ENDED, "metrics": {"accuracy": 0.5, "latency_ms": 4.0}})
        archive.append("measured", trial="1", metrics={}, error="no device")
        assert archive.evaluations[0].first == {}
        archive.append("measured", trial="1", metrics={"latency_ms": 6.0}, error="")
        archive.append("measured", trial="1", metrics={"latency_ms": 7.0}, error="")
    for evaluation in (*archive.evaluations, *Archive.load(path).evaluations):
        assert evaluation.metrics == {"accuracy": 0.5, "latency_ms": 7.0} and evaluation.first == {"latency_ms": 4.0}
        assert evaluation.as_searched.metrics == {"accuracy": 0.5, "latency_ms": 4.0}
    archive = Archive.load(path)
    archive.retry(["1"])
    assert archive.evaluations == [] and not archive.events("measured")


def test_a_restart_counts_only_what_comes_after_it(path: Path, tmp_path: Path) -> None:
    with closing(Archive(path)) as archive:
        archive.append("proposed", **FIRST)
        archive.append("ended", **ENDED)
        archive.restart(**{**SESSION, "seed": 1})
        archive.dump(tmp_path / "dumped")
        for known in (archive, Archive.load(path), Archive.load(tmp_path / "dumped")):
            assert [(record["event"], record.get("seed")) for record in known] == [("session", 1)]
            assert known.evaluations == [] and known.unfinished() == {}
            assert [(e.trial, e.fidelity) for e in known.earlier_evaluations] == [("1", 3)]
            assert known.last_number == 1, "no name may denote two trials"
        archive.append("proposed", **SECOND)
        archive.restart(**{**SESSION, "seed": 2})
    assert [e.trial for e in Archive.load(path).earlier_evaluations] == ["1"]
    assert len(Archive.load(path)) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps an open file where it is")
@pytest.mark.parametrize("how", ["removed", "renamed", "cannot be made again"])
def test_a_folder_that_disappears_is_noticed(tmp_path: Path, how: str) -> None:
    path = tmp_path / "results" / "name" / "archive.jsonl"
    with closing(Archive(path)) as archive:
        archive.append("proposed", **FIRST)
        (tmp_path / "results").rename(tmp_path / "elsewhere")
        if how == "cannot be made again":
            (tmp_path / "results").touch()
        with pytest.raises(ArchiveError, match=r"results.name was removed, renamed or unmounted"):
            archive.append("ended", **ENDED)
        with pytest.raises(ArchiveError, match=r"removed, renamed or unmounted"):
            archive.append("ended", **ENDED)
        if how == "cannot be made again":
            assert "bring it back" in str(archive.failure)
        else:
            assert [record["trial"] for record in Archive.load(path)] == ["1"]
            assert "written there again" in str(archive.failure)
