from pathlib import Path

import pytest

from raynas.core.architecture import Architecture
from raynas.errors import OutsideError, RaynasError
from raynas.run.last_checkpoint import last_checkpoint, set_aside, trial_folder
from raynas.trials.checkpoint import Checkpoint
from tests.run.checkpoints import checkpoint


def test_the_newest_checkpoint_that_is_not_ahead(tmp_path: Path) -> None:
    # Numbers start again when a trial goes on: the epoch counts, not the name.
    for name, epoch in (("checkpoint_000000", 7), ("checkpoint_000001", 5), ("checkpoint_000002", 6)):
        checkpoint(tmp_path / name, epoch)
    found = [last_checkpoint(tmp_path, max_epoch) for max_epoch in (9, 7, 6, 5, 4, 0)]
    assert found[4:] == [None, None]
    assert [(path.name[-1], epoch) for path, epoch in filter(None, found)] == [("0", 7), ("0", 7), ("2", 6), ("1", 5)]


@pytest.mark.parametrize(
    "meta", ["", "{", "[]", "3", "null", "{}", '{"epoch": null}', '{"epoch": "x"}', '{"epoch": 1e999}']
)
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, meta: str) -> None:
    checkpoint(tmp_path / "checkpoint_000000", 1)
    checkpoint(tmp_path / "checkpoint_000001", 2)
    (tmp_path / "checkpoint_000001" / "meta.json").write_text(meta)
    assert last_checkpoint(tmp_path, 5) == (tmp_path / "checkpoint_000000", 1)


def test_a_checkpoint_that_was_cut_short_is_passed_over(tmp_path: Path) -> None:
    checkpoint(tmp_path / "checkpoint_000000", 1)
    (tmp_path / "checkpoint_000001").mkdir()
    (tmp_path / "checkpoint_000001" / "state.pt").write_bytes(b"half")
    (tmp_path / "checkpoint_000002").write_bytes(b"no folder")
    (tmp_path / "checkpoint_000003" / "meta.json").mkdir(parents=True)
    (tmp_path / "checkpoint_000004" / "meta.json").parent.mkdir()
    (tmp_path / "checkpoint_000004" / "meta.json").write_bytes(b"\xff\xfe")
    assert last_checkpoint(tmp_path, 5) == (tmp_path / "checkpoint_000000", 1)


def test_a_copy_that_ended_before_the_state_is_passed_over(tmp_path: Path) -> None:
    """Tune copies checkpoints file by file in any order: a kill may leave the description without the state."""
    for epoch in (1, 2, 3):
        Checkpoint(Architecture({"layers.0": 0}), epoch, {"model": {}}).write(tmp_path / f"checkpoint_00000{epoch}")
    (tmp_path / "checkpoint_000003" / "state.pt").unlink()
    cut = tmp_path / "checkpoint_000002" / "state.pt"
    cut.write_bytes(cut.read_bytes()[:-10])
    assert last_checkpoint(tmp_path, 5) == (tmp_path / "checkpoint_000001", 1)
    for number in (2, 3):
        with pytest.raises(RaynasError, match=r"state.pt has \d+ bytes of \d+"):
            Checkpoint.read(tmp_path / f"checkpoint_00000{number}")


def test_the_folder_of_a_trial_of_a_search_inside_another(tmp_path: Path) -> None:
    assert trial_folder(tmp_path, "00001") == tmp_path / "00001"
    assert trial_folder(tmp_path, "random/00001") == tmp_path / "random" / "00001"
    for trial in ("../00001", "random/../../00001", "/00001", "random//00001"):
        with pytest.raises(OutsideError, match="does not lie inside"):
            trial_folder(tmp_path, trial)


def test_no_checkpoint_in_no_folder(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "missing", 5) is None
    assert last_checkpoint(tmp_path, 5) is None


def test_a_checkpoint_is_set_aside_and_the_others_are_deleted(tmp_path: Path) -> None:
    for name in ("checkpoint_000000", "checkpoint_000001"):
        (tmp_path / name).mkdir()
    moved = set_aside(tmp_path / "checkpoint_000000")
    assert moved == tmp_path / "checkpoint_resumed" and moved.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_resumed"]
    assert set_aside(moved) == moved, "twice is once"
