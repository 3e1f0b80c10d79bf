"""TensorBoard logs of a search, written from its archive: curves, pictures, a filled HParams page.

``search/`` is the run of the whole search, ``trials/<trial>/`` that of each trial: the HParams page takes a run for a
session, so every trial that it shows needs an event file. To keep that cheap a file is written in one go when its trial
ends, without fsync, as the archive has everything in it too; trials that take longer show their curves live. After
``MAX_TRIALS`` only those that are the best so far get a run.

The pages group tags by the part before the slash, and open the first two groups: ``best`` and ``search``.
"""

import re
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from raynas.core.archive import Archive, Record, evaluation_of
from raynas.core.goal import Goal
from raynas.core.relaxed_weights import RelaxedWeights
from raynas.core.space import SearchSpace
from raynas.metrics import METRICS
from raynas.metrics.table import COUNTED
from raynas.views.new_records import NewRecords
from raynas.views.tensorboard.course import Course
from raynas.views.tensorboard.custom_scalars import layout
from raynas.views.tensorboard.exhibits import exhibits_of
from raynas.views.tensorboard.hparams import Columns, Config, experiment
from raynas.views.tensorboard.pictures import Gallery
from raynas.views.tensorboard.search_run import SearchRun
from raynas.views.tensorboard.trial_run import TrialRun, is_whole

FLUSH_SECONDS = 5.0
"""Period of writing the reports of running trials."""

MAX_TRIALS = 1000
"""Number of trials that have a run each, whatever they are worth; TensorBoard is slow with many more."""

_COUNTS = {
    "finished": "trials_finished",
    "stopped": "trials_stopped",
    "failed": "trials_failed",
    "refused": "refused",
    "repaired": "repaired",
    "duplicate": "duplicates",
}

_USUAL = ("accuracy", "loss", *COUNTED, *(name for name, metric in METRICS.items() if metric.unit == "s"))
"""Metrics that have a column on the HParams page beside those asked for."""


class TensorBoardLog:
    """Turns the records of an archive into event files.

    The files of earlier sessions stay; that of a trial is written again if it is missing or was cut short.

    Args:
        path: folder of the runs.
        space: its decisions are the columns of the HParams page.
        n_before: number of records in the archive when this session began.
        unfinished: trials that continue in this session, or begin again though their files are whole.
    """

    def __init__(
        self, path: str | Path, space: SearchSpace, *, n_before: int = 0, unfinished: frozenset[str] = frozenset()
    ) -> None:
        self.path, self.space = Path(path), space
        self._n_before, self._unfinished = n_before, unfinished
        self._columns = Columns(space)
        self._search = SearchRun(self.path / "search")
        self._new = NewRecords()
        self._trials: dict[str, TrialRun] = {}
        self._n_trials = 0
        self._course = Course(space)
        self._metrics: Sequence[str] = ()
        self._n_laid_out = -1
        self._flush_at = time.monotonic() + FLUSH_SECONDS
        self._gallery = Gallery(self._search, exhibits_of(self._course))

    def update(self, archive: Archive, goal: Goal) -> None:
        """Read the records added since the last call, and write what is due.

        Args:
            archive: the same at each call.
            goal: ranks the evaluations; its relative constraints are resolved in the course of the search.
        """
        course = self._course
        course.archive = archive
        course.rank_by(goal)
        if self._search.is_new and not self._metrics:
            self._show_columns(goal.asked, {})
        for record in self._new.read(archive):
            if self._new.n_read == self._n_before + 1:
                self._search.follow(course.n)
            self._read(record)
        if time.monotonic() >= self._flush_at:
            self._flush_at = time.monotonic() + FLUSH_SECONDS
            self._flush()
        self._gallery.update()
        self._lay_out()

    def close(self, archive: Archive, goal: Goal) -> None:
        """Write all that is left."""
        try:
            self.update(archive, goal)
            self._add_curves()
            if self._search.is_new or self._new.n_read > self._n_before:
                self._gallery.make(last=True)
                self._lay_out()
        finally:
            self._flush()

    def _lay_out(self) -> None:
        """Write the layout of the curves, again when there are further ones: the page shows the last."""
        n = len(self._gallery.curves)
        if n != self._n_laid_out:
            self._n_laid_out = n
            self._search.file.add([layout(self._course.goal, self._gallery.curves)], self._course.n)

    def _show_columns(self, asked: Sequence[str], constants: Config) -> None:
        """Write the columns of the HParams page, before anything else."""
        self._metrics = list(dict.fromkeys([*asked, *_USUAL]))
        self._search.file.restart()
        self._n_laid_out = -1
        self._search.file.add([experiment(self._columns, self._metrics, constants)])
        self._search.flush()

    def _read(self, record: Record) -> None:
        event = record["event"]
        if relaxed := record.get("relaxed"):
            self._course.weights = msgspec.convert(relaxed, RelaxedWeights)
        if event == "proposed":
            self._begin(record)
        elif event == "result":
            self._trials[record["trial"]].report(record)
        elif event == "ended":
            self._end(record)
        elif event == "measured":
            self._course.measure_again(record["trial"], record["metrics"])
        elif event in ("refused", "repaired", "duplicate"):
            self._course.counts[event] += 1

    def _begin(self, record: Record) -> None:
        trial, folder = record["trial"], self.path / "trials" / re.sub(r"[^\w-]", "_", record["trial"])
        self._n_trials += 1
        ended = self._new.n_read <= self._n_before and trial not in self._unfinished
        self._trials[trial] = TrialRun(
            folder,
            record["config"],
            self._columns,
            shown=ended and is_whole(folder),
            only_if_best=self._n_trials > MAX_TRIALS,
        )

    def _end(self, record: Record) -> None:
        trial = self._trials.pop(record["trial"])
        evaluation = evaluation_of(record, trial.config)
        is_best = self._course.add(evaluation)
        if self._course.n == 1 and self._search.is_empty:
            self._show_columns([*self._course.goal.asked, *evaluation.metrics], trial.config)
        if self._search.curve_is_due(self._course.n):
            self._add_curves()
        trial.end(record, is_best=is_best)

    def _add_curves(self) -> None:
        best = {f"best_{metric}": value for metric, value in self._course.best.values.items()}
        counts = {name: float(self._course.counts[event]) for event, name in _COUNTS.items()}
        self._search.add_curves({**best, **counts}, self._course.n)

    def _flush(self) -> None:
        self._search.flush()
        for trial in self._trials.values():
            trial.flush()
