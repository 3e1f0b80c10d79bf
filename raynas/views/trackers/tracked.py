"""The content of an archive as trackers take it: one search, and trials with parameters and curves."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from raynas.core.archive import Archive, Record, evaluation_of
from raynas.core.evaluation import Evaluation, Status
from raynas.core.goal import Goal
from raynas.views.new_records import NewRecords
from raynas.views.tensorboard.best_of_each import BestOfEach

Point = tuple[str, int, float]
"""Name of a metric, step, value."""


@dataclass(frozen=True, kw_only=True)
class TrackedTrial:
    """A trial that ended.

    Args:
        name: the trial's name in the archive.
        params: decisions as ``arch/NAME``, and hyperparameters.
        points: metrics over fidelity, oldest first; the last of a name is the final one.
        status: how the trial ended.
        error: the reason for the failure, in one line.
        notes: remarks on the trial and doubts about its metrics (``doubt/NAME``), as text.
    """

    name: str
    params: Mapping[str, object]
    points: tuple[Point, ...]
    status: Status
    error: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Hash of the content: a run that has it lacks nothing."""
        content = [self.name, dict(self.params), self.points, self.status, self.error, dict(self.notes)]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class TrackedSearch:
    """The search that trials belong to.

    Args:
        id: 16 hexadecimal digits that no other search has; they stay when its folder moves.
        path: the search's folder.
        params: space, strategy, seed, objectives, ..., as the archive's last session has them.
    """

    id: str
    path: Path
    params: Mapping[str, object]


_FACTS = ("title", "space", "trainable", "strategy", "seed", "num_samples", "objectives", "constraints", "baseline_is")


def facts_of(archive: Archive) -> dict[str, object]:
    """Return what the last session in an archive says about its search; nothing if there is none yet."""
    sessions = archive.events("session")
    session = sessions[-1] if sessions else {}
    found = {name: session[name] for name in _FACTS if session.get(name) not in (None, "", [])}
    return {name: ", ".join(value) if isinstance(value, list) else value for name, value in found.items()}


class TrackedTrials:
    """Reads trials from a growing archive, each when it has ended, and the progress of the search."""

    def __init__(self) -> None:
        self.n_ended = 0
        self._new = NewRecords()
        self._configs: dict[str, Mapping[str, object]] = {}
        self._points: dict[str, dict[tuple[str, int], float]] = {}
        self._ended: dict[str, Evaluation] = {}
        self._best = BestOfEach(Goal())

    def read(self, archive: Archive, goal: Goal) -> Iterator[tuple[TrackedTrial, list[Point]]]:
        """Yield trials that ended or were measured again since the last call.

        Args:
            archive: the same at each call.
            goal: ranks the evaluations.

        Yields:
            The trial, and the search's own metrics after it, over the number of trials that ended; none after a
            measurement at the end.
        """
        if goal is not self._best.goal:  # its limits were resolved in the course of the search
            self._best = BestOfEach(goal, list(self._ended.values()))
        for record in self._new.read(archive):
            if record["event"] == "proposed":
                self._configs[record["trial"]] = record["config"]
                self._points[record["trial"]] = {}
            elif record["event"] == "result":
                self._add(record["trial"], record["fidelity"], record["metrics"])
            elif record["event"] == "ended":
                yield self._end(record)
            elif record["event"] == "measured" and record["trial"] in self._ended:
                yield self._measure(record), []

    def _add(self, trial: str, step: int, metrics: Mapping[str, float]) -> None:
        """Add metrics; what a resumed trial reports once more, or is measured again, replaces the earlier value."""
        self._points[trial] |= {(name, step): float(value) for name, value in metrics.items()}

    def _end(self, record: Record) -> tuple[TrackedTrial, list[Point]]:
        evaluation = evaluation_of(record, self._configs[record["trial"]])
        self._add(record["trial"], record["fidelity"], record["metrics"])
        self._ended[record["trial"]] = evaluation
        self._best.add(evaluation)
        self.n_ended += 1
        best = {f"best_{metric}": value for metric, value in self._best.values.items()}
        progress = {"trials_ended": float(self.n_ended), **best}
        return self._tracked(evaluation), [(name, self.n_ended, value) for name, value in progress.items()]

    def _measure(self, record: Record) -> TrackedTrial:
        evaluation = self._ended[record["trial"]].measured_again(record["metrics"])
        self._ended[record["trial"]] = evaluation
        self._add(record["trial"], evaluation.fidelity, record["metrics"])
        return self._tracked(evaluation)

    def _tracked(self, evaluation: Evaluation) -> TrackedTrial:
        doubts = {f"doubt/{name}": origin.doubt for name, origin in evaluation.provenance.items() if origin.doubt}
        return TrackedTrial(
            name=evaluation.trial,
            params={
                **{f"arch/{name}": option for name, option in evaluation.arch.items()},
                **evaluation.hyperparameters,
            },
            points=tuple((name, step, value) for (name, step), value in self._points[evaluation.trial].items()),
            status=evaluation.status,
            error=evaluation.error,
            notes={**evaluation.notes, **doubts},
        )
