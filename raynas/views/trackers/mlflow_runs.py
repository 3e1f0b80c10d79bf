"""MLflow: a parent run for the search and a child run for each trial, found again by their tags.

MLflow chooses the ids of runs. So each run has the search's id and the trial's name as tags from the call that
makes it, and is looked for by them before one is made: after a kill between two calls nothing is made a second time.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from raynas.errors import RaynasError, one_line
from raynas.views.trackers.tracked import Point, TrackedSearch, TrackedTrial
from raynas.views.trackers.tracker import End, key_of, needs, shortened

SEARCH, TRIAL, FINGERPRINT = "raynas.search", "raynas.trial", "raynas.fingerprint"
"""Tags: the id of the search, the name of the trial, the content that was written."""

_STATUS = {"finished": "FINISHED", "stopped": "FINISHED", "failed": "FAILED"}
_END: Mapping[End, str] = {"running": "RUNNING", "finished": "FINISHED", "interrupted": "KILLED"}
_MAX_PARAMS, _MAX_METRICS = 100, 1000  # of one call


@dataclass(frozen=True, kw_only=True)
class MLflow:
    """Writes a search to MLflow, each trial as a child of the search's run.

    Args:
        tracking_uri: of the server or data base, such as ``"sqlite:///mlflow.db"``; default that of
            ``MLFLOW_TRACKING_URI``, or else MLflow's own default.
        experiment: made if missing; default ``MLFLOW_EXPERIMENT_NAME``, or "raynas".
    """

    tracking_uri: str | None = None
    experiment: str | None = None

    @property
    def name(self) -> str:
        """The name on the command line."""
        return "mlflow"

    @property
    def title(self) -> str:
        """The name of the product."""
        return "MLflow"

    def check(self) -> None:
        """Raise a RaynasError if MLflow cannot be imported."""
        try:
            import mlflow  # noqa: F401
        except ImportError as error:
            raise needs("MLflow", "mlflow", error) from None

    def open(self, search: TrackedSearch) -> "MLflowRuns":
        """Open the parent run of a search.

        Raises:
            RaynasError: if MLflow is not installed, or its server or data base does not answer.
        """
        self.check()
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        try:
            client = MlflowClient(self.tracking_uri)
            return MLflowRuns(client, self._experiment_id(client), search)
        except (MlflowException, OSError) as error:
            raise RaynasError(f"MLflow cannot be used: {one_line(error)}") from None

    def _experiment_id(self, client: Any) -> str:
        from mlflow.exceptions import MlflowException

        name = self.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "raynas"
        found = client.get_experiment_by_name(name)
        if found is None:
            with suppress(MlflowException):  # another process was faster
                return str(client.create_experiment(name))
            found = client.get_experiment_by_name(name)
        return str(found.experiment_id)


class MLflowRuns:
    """The runs of one search.

    Args:
        client: an ``MlflowClient``.
        experiment_id: of the experiment.
        search: the search.
    """

    def __init__(self, client: Any, experiment_id: str, search: TrackedSearch) -> None:
        self._client, self._experiment_id, self._search = client, experiment_id, search
        runs = {run.data.tags.get(TRIAL, ""): run for run in self._existing()}
        parent = runs.pop("", None) or self._create("", search.path.name)
        self._parent_id = str(parent.info.run_id)
        self._children = {
            name: _Child(str(run.info.run_id), run.data.tags.get(FINGERPRINT)) for name, run in runs.items()
        }
        self._progress = _points_of(parent, client)
        client.set_tag(self._parent_id, "raynas.folder", str(search.path))
        client.update_run(self._parent_id, status="RUNNING")
        self._add_params(self._parent_id, search.params, parent.data.params)

    def write(self, trial: TrackedTrial) -> None:
        """Make the child run of a trial what the archive says."""
        child, fingerprint = self._children.get(trial.name), trial.fingerprint
        if child and child.fingerprint == fingerprint:
            return
        points: set[Point] = set()
        params: Mapping[str, str] = {}
        if child:  # cut short by a kill, or the trial was tried or measured again
            run = self._client.get_run(child.run_id)
            points, params = _points_of(run, self._client), run.data.params
        else:
            child = _Child(str(self._create(trial.name, trial.name).info.run_id), None)
        self._add_params(child.run_id, trial.params, params)
        self._add_points(child.run_id, trial.points, points)
        for name, text in {"status": trial.status, "error": trial.error, **trial.notes}.items():
            if text:
                self._client.set_tag(child.run_id, f"raynas.{key_of(name)}", shortened(text))
        self._client.set_terminated(child.run_id, _STATUS[trial.status])
        self._client.set_tag(child.run_id, FINGERPRINT, fingerprint)
        self._children[trial.name] = _Child(child.run_id, fingerprint)

    def progress(self, points: Sequence[Point]) -> None:
        """Add metrics of the whole search to the parent run."""
        known = {(name, step) for name, step, _ in self._progress}
        new = [point for point in points if (key_of(point[0]), point[1]) not in known]
        self._add_points(self._parent_id, new, self._progress)

    def close(self, end: End, files: Mapping[str, Path]) -> None:
        """Say how the search ended, and upload files."""
        for path in files.values():
            self._client.log_artifact(self._parent_id, str(path))
        if end == "running":
            self._client.update_run(self._parent_id, status=_END[end])
        else:
            self._client.set_terminated(self._parent_id, _END[end])

    def _existing(self) -> Iterator[Any]:
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id],
                f"tags.`{SEARCH}` = '{self._search.id}'",
                max_results=1000,
                order_by=[
                    "attributes.start_time DESC"
                ],  # so that of two, which only two writers can make, the first counts
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _create(self, trial: str, name: str) -> Any:
        tags = {SEARCH: self._search.id, "mlflow.source.name": "raynas"}
        if trial:
            tags |= {TRIAL: trial, "mlflow.parentRunId": self._parent_id}
        return self._client.create_run(self._experiment_id, run_name=name, tags=tags)

    def _add_params(self, run_id: str, params: Mapping[str, object], known: Mapping[str, str]) -> None:
        """Add parameters; MLflow never changes one, so what a later session set otherwise is a tag."""
        from mlflow.entities import Param

        named = {key_of(name): shortened(value) for name, value in params.items()}
        for name, value in named.items():
            if known.get(name, value) != value:
                self._client.set_tag(run_id, f"raynas.now.{name}", value)
        new = [Param(name, value) for name, value in named.items() if name not in known]
        for batch in _batches(new, _MAX_PARAMS):
            self._client.log_batch(run_id, params=batch)

    def _add_points(self, run_id: str, points: Iterable[Point], known: set[Point]) -> None:
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        new = [
            Metric(name, value, now + n, step)  # of two at one step the last one counts
            for n, (name, step, value) in enumerate((key_of(name), step, value) for name, step, value in points)
            if (name, step, value) not in known
        ]
        known |= {(m.key, m.step, m.value) for m in new}
        for batch in _batches(new, _MAX_METRICS):
            self._client.log_batch(run_id, metrics=batch)


@dataclass(frozen=True)
class _Child:
    run_id: str
    fingerprint: str | None


def _points_of(run: Any, client: Any) -> set[Point]:
    histories = (client.get_metric_history(run.info.run_id, name) for name in run.data.metrics)
    return {(m.key, m.step, m.value) for history in histories for m in history}


def _batches(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    left = iter(values)
    while batch := list(islice(left, size)):
        yield batch
