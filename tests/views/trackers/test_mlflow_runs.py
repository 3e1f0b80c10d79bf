"""Runs in MLflow, on SQLite: what they hold, and that none is there twice whatever interrupts the writing."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from raynas.core.archive import Archive
from raynas.errors import RaynasError
from raynas.views.trackers import MLflow, track
from raynas.views.trackers.log import TrackerLog
from tests.views.tensorboard.logs import ACCURACY, end, propose
from tests.views.trackers.searches import result_of, searched

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader")  # MLflow's use of SQLAlchemy


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data base with MLflow's tables, which take seconds to make."""
    file = tmp_path_factory.mktemp("mlflow") / "empty.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def mlflow(empty: Path, tmp_path: Path) -> Iterator[MLflow]:
    shutil.copy(empty, tmp_path / "runs.db")
    tracker = MLflow(tracking_uri=f"sqlite:///{tmp_path / 'runs.db'}", experiment="cells")
    client = MlflowClient(tracker.tracking_uri)
    client.create_experiment("cells", artifact_location=(tmp_path / "artifacts").as_uri())
    yield tracker
    client._tracking_client.store.engine.dispose()


def runs_in(tracker: MLflow) -> dict[str, Any]:
    """All runs by the name of their trial; "" is the parent."""
    client = MlflowClient(tracker.tracking_uri)
    experiment = client.get_experiment_by_name("cells")
    assert experiment is not None
    runs = list(client.search_runs([experiment.experiment_id]))
    found = {run.data.tags.get("raynas.trial", ""): run for run in runs}
    assert len(found) == len(runs), "a run is there twice"
    return found


def curve(tracker: MLflow, run: Any, name: str) -> list[tuple[int, float]]:
    history = MlflowClient(tracker.tracking_uri).get_metric_history(run.info.run_id, name)
    return sorted((m.step, round(m.value, 6)) for m in history)


def test_runs_hold_what_the_archive_holds(mlflow: MLflow, tmp_path: Path) -> None:
    (tmp_path / "s" / "best").mkdir(parents=True)
    (tmp_path / "s" / "summary.txt").write_text("good")
    track(result_of(searched(), tmp_path / "s"), mlflow)
    runs = runs_in(mlflow)
    parent = runs.pop("")
    assert (parent.info.run_name, parent.info.status) == ("s", "FINISHED")
    assert parent.data.params["strategy"] == "RandomSearch()"
    assert curve(mlflow, parent, "best_accuracy") == [(1, 0.2), (2, 0.4), (3, 0.4)]
    assert parent.data.tags["raynas.folder"] == str(tmp_path / "s")
    assert [f.path for f in MlflowClient(mlflow.tracking_uri).list_artifacts(parent.info.run_id)] == ["summary.txt"]
    assert sorted(runs) == ["00001", "00002", "00003"]
    assert all(run.data.tags["mlflow.parentRunId"] == parent.info.run_id for run in runs.values())
    assert runs["00001"].data.params["arch/kernel"] == "5"
    assert curve(mlflow, runs["00002"], "accuracy") == [(1, 0.2), (2, 0.4)]
    assert (runs["00003"].info.status, runs["00003"].data.tags["raynas.error"]) == ("FAILED", "ValueError: no")


def test_writing_again_changes_nothing_and_a_longer_search_adds_its_trials(mlflow: MLflow, tmp_path: Path) -> None:
    archive = searched()
    track(result_of(archive, tmp_path / "s", interrupted=True), mlflow)
    first = runs_in(mlflow)
    assert first[""].info.status == "KILLED"
    track(result_of(archive, tmp_path / "s"), mlflow)
    propose(archive, "00004")
    end(archive, "00004", 1, accuracy=0.9)
    (tmp_path / "s").rename(tmp_path / "moved")
    track(result_of(archive, tmp_path / "moved"), mlflow)
    second = runs_in(mlflow)
    assert {t: r.info.run_id for t, r in first.items()}.items() <= {t: r.info.run_id for t, r in second.items()}.items()
    assert second.keys() - first.keys() == {"00004"}
    assert curve(mlflow, second["00001"], "accuracy") == [(1, 0.1), (2, 0.2)]
    assert curve(mlflow, second[""], "trials_ended") == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_what_was_measured_again_is_the_last_value(mlflow: MLflow, tmp_path: Path) -> None:
    archive = searched()
    track(result_of(archive, tmp_path / "s"), mlflow)
    archive.append("measured", trial="00001", metrics={"accuracy": 0.15}, error="")
    track(result_of(archive, tmp_path / "s"), mlflow)
    assert runs_in(mlflow)["00001"].data.metrics["accuracy"] == 0.15


class Killed(BaseException):
    """As if the process had ended."""


CALLS = ("create_run", "set_tag", "update_run", "log_batch", "set_terminated", "log_artifact")


def killed_after(n: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the process end after ``n`` calls that write; return the calls that were made."""
    made: list[str] = []

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def method(*args: Any, **kwargs: Any) -> Any:
            result = call(*args, **kwargs)
            made.append(name)
            if len(made) == n:
                raise Killed
            return result

        return method

    for name in CALLS:
        monkeypatch.setattr(MlflowClient, name, counted(name, getattr(MlflowClient, name)))
    return made


def test_a_kill_after_any_call_neither_loses_nor_doubles_a_run(
    mlflow: MLflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = result_of(searched(2), tmp_path / "s")
    ids: dict[str, str] = {}
    n_kills = 0
    for n in range(1, 100):
        with monkeypatch.context() as patch:
            made = killed_after(n, patch)
            try:
                track(result, mlflow)
            except Killed:
                n_kills += 1
        now = {trial: run.info.run_id for trial, run in runs_in(mlflow).items()}
        assert ids.items() <= now.items(), "the id of a run changed"
        ids = now
        if len(made) < n:
            break
    assert n_kills > 3
    runs = runs_in(mlflow)
    assert sorted(runs) == ["", "00001", "00002"]
    assert curve(mlflow, runs["00001"], "accuracy") == [(1, 0.1), (2, 0.2)]
    assert curve(mlflow, runs[""], "best_accuracy") == [(1, 0.2), (2, 0.2)]


def test_a_log_that_follows_a_search_writes_each_trial_once(
    mlflow: MLflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raynas.views.trackers.log.WRITE_SECONDS", 0.0)
    archive, log = searched(1), TrackerLog(tmp_path, mlflow)
    log.update(archive, ACCURACY)
    propose(archive, "00002")
    log.update(archive, ACCURACY)
    assert sorted(runs_in(mlflow)) in ([""], ["", "00001"])
    end(archive, "00002", 1, accuracy=0.5)
    log.close(archive, ACCURACY)
    runs = runs_in(mlflow)
    assert sorted(runs) == ["", "00001", "00002"]
    assert runs[""].info.status == "RUNNING"


def test_a_data_base_that_does_not_open_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RaynasError, match="MLflow cannot be used"):
        track(result_of(Archive(), tmp_path), MLflow(tracking_uri="nowhere://x"))
