"""Checkpoints of trials in a bucket."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raynas.core.architecture import Architecture
from raynas.run.checkpoints import BucketCheckpoints, Found
from raynas.storage.bucket import Bucket
from raynas.trials.checkpoint import Checkpoint
from tests.flaky_storage import flaky


@pytest.fixture
def later() -> dict[str, Callable[[], None]]:
    return {}


@pytest.fixture
def checkpoints(tmp_path: Path, later: dict[str, Callable[[], None]]) -> BucketCheckpoints:
    return BucketCheckpoints(Bucket(flaky(tmp_path), "search", "test:search"), later.__setitem__)


def put(folder: Path, trial: str, *epochs: int) -> Path:
    for number, epoch in enumerate(epochs):
        path = folder / "search" / trial / f"checkpoint_{number:06d}"
        Checkpoint(Architecture({"layers.0": 0}), epoch, {"model": {}, "epoch": epoch}).write(path)
    return folder / "search" / trial


def left(folder: Path) -> list[str]:
    return sorted(path.name[-1] for path in folder.glob("checkpoint_*"))


def newest(number: int) -> Any:
    return SimpleNamespace(path=f"bucket/search/1/checkpoint_{number:06d}")


def test_a_trial_continues_from_the_newest_though_the_archive_lacks_its_report(
    tmp_path: Path, checkpoints: BucketCheckpoints, later: dict[str, Callable[[], None]]
) -> None:
    folder = put(tmp_path, "1", 1, 2, 3)
    assert checkpoints.to_resume("1", 1, restarted=False) == Found("1/checkpoint_000002", 2, 2)
    assert left(folder) == ["0", "1", "2"], "until the bucket has the events up to now"
    put(tmp_path, "1", 1, 2, 3, 4)  # what was added meanwhile
    later["1"]()
    assert left(folder) == ["2", "3"]


def test_a_checkpoint_that_was_copied_in_part_is_passed_over(tmp_path: Path, checkpoints: BucketCheckpoints) -> None:
    folder = put(tmp_path, "1", 1, 2, 3, 4)
    (folder / "checkpoint_000003" / "meta.json").unlink()
    state = folder / "checkpoint_000002" / "state.pt"
    state.write_bytes(state.read_bytes()[:-1])
    (folder / "checkpoint_000004").mkdir()
    assert checkpoints.to_resume("1", 4, restarted=False) == Found("1/checkpoint_000001", 1, 4)
    read = checkpoints.read("1", 4)
    assert read and read.epoch == 2 and read.state and read.state["epoch"] == 2
    (folder / "checkpoint_000000" / "meta.json").write_text('{"epoch": "x"}')
    (folder / "checkpoint_000001" / "state.pt").unlink()
    assert checkpoints.to_resume("1", 4, restarted=False) == Found("", 0, 4), "from the start, under further numbers"
    assert checkpoints.read("1", 4) is None and checkpoints.any_of("1")


def test_what_an_earlier_attempt_left_counts_no_more(tmp_path: Path, checkpoints: BucketCheckpoints) -> None:
    folder = put(tmp_path, "1", 1, 2)
    assert checkpoints.to_resume("1", 1, restarted=True) == Found("1/checkpoint_000001", 1, 1), "of this attempt"
    assert checkpoints.to_resume("1", 0, restarted=True) is None and left(folder) == []
    assert checkpoints.to_resume("2", 0, restarted=False) is None and not checkpoints.any_of("2")


def test_what_is_read_is_not_ahead_of_the_evaluation(tmp_path: Path, checkpoints: BucketCheckpoints) -> None:
    put(tmp_path, "1", 1, 2, 3)
    found = [checkpoints.read("1", epoch) for epoch in (3, 2, 0)]
    assert [checkpoint and checkpoint.epoch for checkpoint in found] == [3, 2, None]


def test_older_ones_go_when_the_bucket_knows_of_the_newer(
    tmp_path: Path, checkpoints: BucketCheckpoints, later: dict[str, Callable[[], None]]
) -> None:
    folder = put(tmp_path, "1", 1, 2, 3, 4)
    checkpoints.thin("1", newest(2))
    assert left(folder) == ["0", "1", "2", "3"]
    later.pop("1")()
    assert left(folder) == ["1", "2", "3"], "a later one may be ahead of what the bucket knows"
    checkpoints.drop("1")
    later.pop("1")()
    assert left(folder) == []
