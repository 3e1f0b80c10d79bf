import errno
import json
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.exceptions import ActorDiedError, RayTaskError
from ray.tune.experiment import Experiment, Trial
from ray.tune.schedulers import FIFOScheduler

from raynas.core.archive import Archive
from raynas.core.searcher import ArchitectureSearcher
from raynas.errors import RaynasError
from raynas.run.failure_streak import FailureStreak
from raynas.run.lost_trials import SearchTrial
from raynas.run.resume import ArchivedSearch
from raynas.strategies import GridSearch
from raynas.testing import ToySpace, run_trials
from raynas.trials.checkpoint import CHECKPOINT_KEY
from tests.run.checkpoints import checkpoint

SPACE = ToySpace(n_layers=2, n_options=3)


class Idle(tune.Trainable):
    def step(self) -> dict[str, Any]:
        return {}


class Recorder(FIFOScheduler):
    """Remembers what was replayed to it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self.calls.append(("add", trial.trial_id))

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        self.calls.append(("result", trial.trial_id, result["training_iteration"]))
        return "CONTINUE"

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self.calls.append(("complete", trial.trial_id, result["training_iteration"]))

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self.calls.append(("error", trial.trial_id))


def searched(archive: Archive | None = None, **settings: Any) -> ArchivedSearch:
    searcher: ArchitectureSearcher = GridSearch().searcher(SPACE, costs={}, archive=archive)
    if archive is not None:
        searcher.replay(archive)
    return ArchivedSearch(searcher, Recorder(), **{"num_samples": 3, "max_concurrent": 1, **settings})


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return Experiment("run", Idle, storage_path=str(tmp_path), config={"constant": 1}, max_failures=2)


def result(trial: Trial, epoch: int = 1, **more: Any) -> dict[str, Any]:
    return {**SPACE.result(trial.config), "training_iteration": epoch, **more}


def given(search: ArchivedSearch) -> SearchTrial:
    trial = search.next_trial()
    assert trial is not None
    return trial


def test_gives_the_searchers_trials_and_no_more(experiment: Experiment) -> None:
    search = searched()
    search.add_configurations([experiment])
    assert (search.metric, search.total_samples) == ("accuracy", 3)
    for number in range(1, 4):
        trial = given(search)
        assert trial.trial_id == str(trial) == trial.custom_dirname == f"0000{number}"
        arch = {"layers.0": 0, "layers.1": number - 1}
        assert trial.config == {"constant": 1, "arch": arch}
        assert trial.evaluated_params == {f"arch/{name}": option for name, option in arch.items()}
        assert (trial.trainable_name, trial.max_failures) == ("Idle", 2)
        assert search.next_trial() is None and not search.is_finished()
        search.on_trial_result(trial.trial_id, result(trial))
        search.on_trial_complete(trial.trial_id, result(trial, epoch=2))
    assert search.next_trial() is None and search.is_finished()
    events = [record["event"] for record in search.searcher.archive]
    assert events == ["proposed", "result", "ended"] * 3


def test_ends_when_the_searcher_does(experiment: Experiment) -> None:
    search = searched(num_samples=1000)
    search.add_configurations(experiment)
    for _ in range(int(SPACE.size)):
        trial = given(search)
        search.on_trial_complete(trial.trial_id, error=True)
    assert search.next_trial() is None and search.is_finished()


def test_tune_may_end_it_early(experiment: Experiment, tmp_path: Path) -> None:
    """A stopper or a time limit; what is unfinished stays so in the archive, for the next run."""
    search = searched(interrupted(tmp_path / "archive", 1, 1))
    search.add_configurations(experiment)
    search.set_finished()
    assert search.is_finished()
    assert set(search.searcher.archive.unfinished()) == {"00002", "00003"}


def test_keeps_the_limit_of_concurrency(experiment: Experiment) -> None:
    search = searched(max_concurrent=2)
    search.add_configurations(experiment)
    first, _second = given(search), given(search)
    assert search.next_trial() is None and not search.is_finished()
    search.on_trial_complete(first.trial_id, result(first))
    assert given(search).trial_id == "00003"


def interrupted(path: Path, *epochs: int) -> Archive:
    """One finished trial, and as many unfinished ones as there are ``epochs``, each with that many reports."""
    searcher = GridSearch().searcher(SPACE, costs={}, archive=Archive(path))
    run_trials(searcher, SPACE.result, 1)
    for number, n_reports in enumerate(epochs, 2):
        config = searcher.suggest(f"{number:05d}")
        for epoch in range(1, n_reports + 1):
            searcher.on_trial_result(f"{number:05d}", {**SPACE.result(config), "training_iteration": epoch})
    searcher.archive.close()
    return Archive.load(path)


def test_unfinished_trials_go_on_first(experiment: Experiment, tmp_path: Path) -> None:
    archive = interrupted(tmp_path / "archive", 3, 2, 0)
    for index, epoch in enumerate((1, 2, 4)):
        checkpoint(tmp_path / "run" / "00002" / f"checkpoint_00000{index}", epoch)
    search = searched(archive, num_samples=5, max_concurrent=4)
    search.add_configurations(experiment)
    assert isinstance(search.scheduler, Recorder)
    assert search.scheduler.calls == [
        ("add", "00001"),
        ("complete", "00001", 1),
        ("add", "00002"),
        ("result", "00002", 1),
        ("result", "00002", 2),
        ("add", "00003"),
        ("add", "00004"),
    ]
    trials = [given(search) for _ in range(4)]
    assert [trial.trial_id for trial in trials] == ["00002", "00003", "00004", "00005"]
    assert [trial.config["arch"]["layers.1"] for trial in trials] == [1, 2, 0, 1]
    # The checkpoint of epoch 4 is ahead of the archive.
    # What is kept stands aside, where Tune, which counts from zero again, does not write over it.
    kept = tmp_path / "run" / "00002" / "checkpoint_resumed"
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]
    assert [trial.config.get(CHECKPOINT_KEY) for trial in trials] == [str(kept), None, None, None]
    for trial in trials:
        search.on_trial_complete(trial.trial_id, result(trial))
    assert search.next_trial() is None and search.is_finished()
    assert len(search.searcher.archive.evaluations) == 5


def test_unfinished_trials_go_on_though_enough_were_proposed(experiment: Experiment, tmp_path: Path) -> None:
    search = searched(interrupted(tmp_path / "archive", 1), num_samples=1)
    search.add_configurations(experiment)
    assert not search.is_finished()
    trial = given(search)
    assert trial.trial_id == "00002"
    search.on_trial_complete(trial.trial_id, result(trial))
    assert search.next_trial() is None and search.is_finished()


@pytest.mark.parametrize("lost", range(6))
def test_no_name_stands_for_two_trials(experiment: Experiment, tmp_path: Path, lost: int) -> None:
    """A damaged line may be removed from the archive, as its error message says."""
    archive = interrupted(tmp_path / "archive", 1, 1)
    del archive._records[lost]
    names, unfinished = {record["trial"] for record in archive}, set(archive.unfinished())
    search = searched(archive, num_samples=9)
    search.add_configurations(experiment)
    while (trial := search.next_trial()) is not None:
        assert (trial.trial_id in names) == (trial.trial_id in unfinished)
        search.on_trial_complete(trial.trial_id, result(trial))
    proposed = [record["trial"] for record in archive.events("proposed")]
    assert len(proposed) == len(set(proposed)) == 9
    archs = [json.dumps(record["config"]) for record in archive.events("proposed")]
    assert len(archs) == len(set(archs))


# --- lost and failed trials -------------------------------------------------------------------------------------------


def end_with(search: ArchivedSearch, trial: SearchTrial, error: Exception) -> None:
    """End a trial as Tune does: the error, which it hands to the trial, and then to nobody."""
    trial.exception = error
    trial.has_run = True
    search.on_trial_complete(trial.trial_id, error=True)


def test_a_lost_trial_is_tried_again_from_its_last_checkpoint(experiment: Experiment, tmp_path: Path) -> None:
    search = searched(num_samples=1)
    search.add_configurations(experiment)
    first = given(search)
    search.on_trial_result(first.trial_id, result(first, epoch=2))
    checkpoint(tmp_path / "run" / "00001" / "checkpoint_000001", 2)
    assert search.next_trial() is None and not search.is_finished()
    end_with(search, first, ActorDiedError())
    assert search.searcher.archive.evaluations == [] and list(search.searcher.archive.unfinished()) == ["00001"]
    second = given(search)
    assert (second.trial_id, second.config["arch"]) == ("00001", first.config["arch"])
    assert second is not first and second.config[CHECKPOINT_KEY].endswith("checkpoint_resumed")
    search.on_trial_complete(second.trial_id, result(second))
    assert search.next_trial() is None and search.is_finished()
    assert [(e.trial, e.status) for e in search.searcher.archive.evaluations] == [("00001", "finished")]
    events = [record["event"] for record in search.searcher.archive]
    assert events == ["proposed", "result", "lost", "ended"]


def test_a_trial_that_kills_every_worker_fails_with_the_reason(experiment: Experiment) -> None:
    search = searched(num_samples=1)
    search.add_configurations(experiment)
    n_tries = 0
    while (trial := search.next_trial()) is not None:
        n_tries += 1
        end_with(search, trial, ActorDiedError())
    (failed,) = search.searcher.archive.evaluations
    assert n_tries == 4 and failed.status == "failed" and failed.error.startswith("its process died 4 times")


def test_an_exception_of_the_trials_is_its_failure(experiment: Experiment) -> None:
    search = searched(num_samples=1)
    search.add_configurations(experiment)
    end_with(search, given(search), RayTaskError("train", "Traceback ...", ValueError("a bug")))
    (failed,) = search.searcher.archive.evaluations
    assert (failed.status, failed.error) == ("failed", "ValueError: a bug")


@pytest.mark.parametrize("how", ["raised", "reported"])
def test_a_full_disk_ends_the_search_and_fails_no_trial(experiment: Experiment, how: str) -> None:
    search = searched()
    search.add_configurations(experiment)
    trial = given(search)
    if how == "raised":
        end_with(search, trial, RayTaskError("save", "Traceback ...", OSError(errno.ENOSPC, "No space left on device")))
    else:
        reason = "OSError: [Errno 28] No space left on device"
        search.on_trial_complete(trial.trial_id, {"failed": 1, "out_of_disk": 1, "error": reason})
    with pytest.raises(RaynasError, match=r"trial 00001 ran out of disk space: OSError: .*No space left on device"):
        search.is_finished()
    assert list(search.searcher.archive.unfinished()) == ["00001"] and search.searcher.archive.evaluations == []


def test_failures_in_a_row_end_the_search(experiment: Experiment) -> None:
    search = searched(num_samples=9, max_concurrent=2, streak=FailureStreak(3))
    search.add_configurations(experiment)
    running = [given(search), given(search)]
    for _ in range(2):
        end_with(search, running.pop(0), RayTaskError("train", "Traceback ...", ValueError("a bug")))
        running.append(given(search))
    end_with(search, running.pop(0), RayTaskError("train", "Traceback ...", ValueError("a bug")))
    assert search.next_trial() is None and not search.is_finished(), "what runs may end"
    search.on_trial_complete(running[0].trial_id, result(running[0]))
    assert search.next_trial() is None and search.is_finished()
    assert len(search.searcher.archive.events("proposed")) == 4


def test_many_unfinished_trials_take_one_look_at_the_archive(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = searched(interrupted(tmp_path / "archive", 1, 2, 3))
    n_looks = 0

    def events(archive: Archive, event: str) -> list[Any]:
        nonlocal n_looks
        n_looks += 1
        return [record for record in archive if record["event"] == event]

    monkeypatch.setattr(Archive, "events", events)
    search.add_configurations(experiment)
    assert n_looks <= 2 and len(search._unfinished) == 3
