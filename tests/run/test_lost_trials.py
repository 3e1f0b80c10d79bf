import errno
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import (
    ActorDiedError,
    NodeDiedError,
    ObjectLostError,
    RayActorError,
    RayTaskError,
    TaskCancelledError,
)
from ray.train._internal.storage import StorageContext
from ray.tune.experiment import Trial

from raynas.core.archive import Archive
from raynas.run.lost_trials import MAX_LOST, MAX_LOST_RUNNING, Losses, SearchTrial, full_disk_error

NODE = "The actor died because its node has died. Node Id: 28d8"


def raised(cause: BaseException) -> RayTaskError:
    return RayTaskError("train", "Traceback ...", cause)


def trial(error: Any = None, *, ran: bool = True, name: str = "1") -> SearchTrial:
    found = SearchTrial("raynas", trial_id=name, stub=True)
    found.has_run = ran
    found.exception = error
    return found


@pytest.mark.parametrize(
    ("error", "is_lost", "may_be_the_cause"),
    [
        (ActorDiedError(), True, True),
        (RayActorError(error_msg=NODE), True, False),
        (RayActorError(preempted=True), True, False),
        (NodeDiedError("gone"), True, False),
        (raised(ObjectLostError("id", None, "")), True, False),
        (raised(RayActorError(error_msg=NODE)), True, False),
        (raised(ValueError("a bug")), False, False),
        (RayActorError(actor_init_failed=True), False, False),
        (TaskCancelledError(), False, False),
        (ValueError("of Tune's own"), False, False),
        (None, False, False),
    ],
)
def test_what_a_trial_did_not_do(error: Any, is_lost: bool, may_be_the_cause: bool) -> None:
    found = trial(error)
    assert (found.is_lost, is_lost and found.may_be_the_cause) == (is_lost, may_be_the_cause)
    assert not trial(ActorDiedError(), ran=False).may_be_the_cause


def test_a_trial_that_is_lost_while_it_is_saved_leaves_tune_no_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trial, "handle_error", lambda trial, error: None)  # which needs a storage
    found: Any = trial()
    found.temporary_state.saving_to = "a future"
    assert found.is_saving
    found.handle_error(ActorDiedError())
    assert not found.is_saving, "or Tune stops the trial that continues under this name"


def test_reasons_in_a_line() -> None:
    assert trial(raised(ValueError("a\nbug"))).reason == "ValueError: a bug"
    assert trial(RayActorError(error_msg=f"The actor died.\n\tpid: 7\n{NODE}")).reason == f"The actor died. {NODE}"
    assert trial().reason == "the trial was killed"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
    ],
)
def test_a_full_disk_is_told_from_other_errors(error: Exception) -> None:
    assert trial(raised(error)).full_disk and trial(error).full_disk
    assert not trial(raised(OSError(errno.ENOENT, "No such file"))).full_disk and not trial().full_disk
    message = str(full_disk_error("00007", trial(error).full_disk))
    assert "00007" in message and str(error.args[-1]) in message and "run the same command again" in message


def test_a_trial_keeps_its_error_where_tune_cannot_write_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, error: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ray.tune.experiment.Trial.handle_error", full)
    found, error = trial(), ValueError("a bug")
    found.handle_error(error)
    assert found.exception is error
    assert found.__getstate__()["exception"] is None, "what a user's code raises may not be picklable"


# --- losses ----------------------------------------------------------------------------------------------------------


def again(losses: Losses, error: Any = None, n: int = 1, **more: Any) -> list[bool]:
    return [losses.add(trial(error or ActorDiedError(), **more)) for _ in range(n)]


def test_a_trial_that_kills_its_process_each_time_is_given_up() -> None:
    losses = Losses(Archive())
    assert again(losses, n=MAX_LOST_RUNNING + 1) == [True] * MAX_LOST_RUNNING + [False]
    assert losses.verdict(trial(RayActorError(error_msg="SIGSEGV"))).endswith(
        "4 times without getting further; the last time: SIGSEGV"
    )
    assert again(losses, name="2") == [True], "each has its count"


def test_lost_nodes_and_slow_starts_are_no_evidence() -> None:
    for case in ({"error": RayActorError(error_msg=NODE)}, {"ran": False}):
        losses = Losses(Archive())
        assert again(losses, n=MAX_LOST + 1, **case) == [True] * MAX_LOST + [False]


def test_progress_begins_a_new_count() -> None:
    losses = Losses(Archive())
    for epoch in range(1, 9):
        assert again(losses, n=MAX_LOST_RUNNING) == [True] * MAX_LOST_RUNNING
        losses.reported("1", epoch)
    losses.reported("1", 8)  # after a start from the beginning
    losses.reported("1", 2)
    assert losses.last_epoch("1") == 8 and losses.last_epoch("2") == 0


def test_losses_of_earlier_sessions_count(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    first = Losses(archive)
    archive.append("result", trial="1", fidelity=3, metrics={})
    first.reported("1", 3)
    again(first, n=MAX_LOST_RUNNING)
    archive.close()
    second = Losses(Archive.load(tmp_path / "archive"))
    assert second.last_epoch("1") == 3
    assert again(second) == [False]


def test_of_a_trial_that_has_ended_little_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StorageContext, "_get_session_path", lambda self: str(tmp_path / "session"))
    bucket = StorageContext(str(tmp_path / "bucket"), "search")
    found = SearchTrial("raynas", trial_id="00001", stub=True, storage=bucket)
    found.experiment_storage = StorageContext(str(tmp_path / "local"), "search")
    found.init_local_path()
    found.update_last_result({"accuracy": 0.5, "time_total_s": 1.0})
    folder = Path(str(found.local_path))
    assert folder.is_dir() and not found.metric_analysis and found.last_result["accuracy"] == 0.5
    found.set_status(Trial.TERMINATED)
    assert not folder.exists()
    assert found.path == str(tmp_path / "local" / "search" / "00001")  # no request to the bucket any more
    assert found.get_json_state() == ("{}", "{}")


def test_what_a_trial_wrote_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StorageContext, "_get_session_path", lambda self: str(tmp_path / "session"))
    found = SearchTrial("raynas", trial_id="1", stub=True, storage=StorageContext(str(tmp_path), "search"))
    found.init_local_path()
    (written := Path(str(found.local_path)) / "of_a_callback.txt").touch()
    found.set_status(Trial.TERMINATED)
    assert written.exists()
