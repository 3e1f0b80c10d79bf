"""Runs of Weights & Biases, offline: the files hold every trial."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raynas.files.inside import refuse_links
from raynas.views.trackers import WeightsAndBiases, track
from raynas.views.trackers.wandb_runs import WRITTEN
from tests.views.tensorboard.logs import end, propose
from tests.views.trackers.searches import result_of, searched


def records(folder: Path) -> Iterator[tuple[str, Any]]:
    """The records of all runs, with the run's id."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]  # made at import

    for file in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        for data in leveldb_log(file.read_bytes()[7:]):
            yield file.stem.removeprefix("run-"), Record.FromString(data)


def leveldb_log(content: bytes) -> Iterator[bytes]:
    """The entries of a log in LevelDB's format: pieces with checksum, length and kind, in blocks of 32 KiB."""
    at, entry = 0, b""
    while at + 7 <= len(content):
        left = 32768 - (at + 7) % 32768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack("<4xHB", content[at : at + 7])
        entry += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield entry
            entry = b""


def history(folder: Path, trial: str) -> list[dict[str, float]]:
    """The values that a run logged, step by step, without what wandb adds."""
    lines = [record.history.item for run, record in records(folder) if run.endswith(f"-{trial}")]
    values = [{".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in line} for line in lines if line]
    return [{name: value for name, value in line.items() if not name.startswith("_")} for line in values]


def test_offline_files_hold_every_trial_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staged"))
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    archive, tracker = searched(), WeightsAndBiases(mode="offline")
    track(result_of(archive, tmp_path / "s", interrupted=True), tracker)
    propose(archive, "00004")
    end(archive, "00004", 1, accuracy=0.9)
    (tmp_path / "s" / "summary.txt").write_text("good")
    track(result_of(archive, tmp_path / "s"), tracker)

    runs = {r.run.run_id: r.run for _, r in records(tmp_path) if r.WhichOneof("record_type") == "run"}
    search = (tmp_path / "s" / "tracking-id.txt").read_text().strip()
    assert runs.keys() == {search, *(f"{search}-{n:05d}" for n in (1, 2, 3, 4))}
    assert {run.run_group for run in runs.values()} == {f"s-{search[:8]}"}
    files = list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 4 + 2  # the run of the search continues in a second file, as `wandb sync` wants it
    assert history(tmp_path, "00002") == [{"accuracy": 0.2}, {"accuracy": 0.4}]
    config = {u.key: json.loads(u.value_json) for u in runs[f"{search}-00001"].config.update}
    assert config["arch/kernel"] == 5
    written = (tmp_path / "s" / WRITTEN).read_text()
    refuse_links(tmp_path / "s")
    assert [line.partition(" ")[2] for line in written.splitlines()] == ["00001", "00002", "00003", "", "00004", ""]
