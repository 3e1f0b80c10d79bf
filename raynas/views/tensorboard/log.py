"""TensorBoard logs of a search, written from its archive: scalars, a filled HParams page, the Pareto front.

``search/`` is the run of the whole search, ``trials/<trial>/`` that of each trial: the HParams page takes a run for a
session, so every trial needs an event file. To keep that cheap a file is written in one go when its trial ends, without
fsync, as the archive has everything in it too; trials that take longer show their curves live.

The pages group tags by the part before the slash, and open the first two groups: ``search`` and ``trial``.
"""

import re
import time
from collections import Counter
from pathlib import Path

from raynas.core.archive import Archive, Record, evaluation_of
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.views.callback import ViewCallback
from raynas.views.new_records import NewRecords
from raynas.views.tensorboard.best_of_each import BestOfEach
from raynas.views.tensorboard.event_file import EventFile, event_files, scalars, text
from raynas.views.tensorboard.hparams import Columns, experiment
from raynas.views.tensorboard.pareto_figure import pareto_figure
from raynas.views.tensorboard.trial_run import TrialRun, is_whole

FLUSH_SECONDS = 5.0
"""Period of writing the reports of running trials."""

FIGURE_SECONDS = 10.0
"""Period of drawing the Pareto figure; drawing takes a twentieth of the time at most."""

_COUNTS = {
    "finished": "trials_finished",
    "stopped": "trials_stopped",
    "failed": "trials_failed",
    "refused": "refused",
    "repaired": "repaired",
    "duplicate": "duplicates",
}


class TensorBoardCallback(ViewCallback):
    """Writes the TensorBoard logs of a search while Tune runs it.

    Args:
        searcher: the search to show.
        log_dir: folder for ``tensorboard --logdir``.
    """

    def __init__(self, searcher: ArchitectureSearcher, log_dir: str | Path) -> None:
        archive = searcher.archive
        unfinished = frozenset(archive.unfinished())
        log = TensorBoardLog(log_dir, searcher.space, n_before=len(archive), unfinished=unfinished)
        super().__init__(searcher, log, f"the TensorBoard logs in {log_dir} are incomplete")


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
        self.path = Path(path)
        self._n_before, self._unfinished = n_before, unfinished
        self._n_shown = n_before if event_files(self.path / "search") else 0  # in the run of the whole search
        self._columns = Columns(space)
        self._search = EventFile(self.path / "search")
        self._new = NewRecords()
        self._trials: dict[str, TrialRun] = {}
        self._evaluations: list[Evaluation] = []
        self._counts = Counter[str]()
        self._best = BestOfEach(Goal())
        self._experiment_written = False
        self._n_drawn = 0
        self._flush_at = time.monotonic() + FLUSH_SECONDS
        self._draw_at = time.monotonic() + FIGURE_SECONDS

    def update(self, archive: Archive, goal: Goal) -> None:
        """Read the records added since the last call, and write what is due.

        Args:
            archive: the same at each call.
            goal: ranks the evaluations; its relative constraints are resolved in the course of the search.
        """
        if goal is not self._best.goal:  # also where it has only learned of the baseline's figures
            self._best = BestOfEach(goal, self._evaluations)
        for record in self._new.read(archive):
            self._read(record)
        now = time.monotonic()
        if now >= self._flush_at:
            self._flush_at = now + FLUSH_SECONDS
            self._flush()
        if now >= self._draw_at:
            self._draw_at = now + FIGURE_SECONDS
            self._draw()
            self._draw_at += 20 * (time.monotonic() - now)

    def close(self, archive: Archive, goal: Goal) -> None:
        """Write all that is left."""
        try:
            self.update(archive, goal)
            self._draw()
        finally:
            self._flush()

    def _read(self, record: Record) -> None:
        event = record["event"]
        if event == "proposed":
            folder = self.path / "trials" / re.sub(r"[^\w-]", "_", record["trial"])
            ended = self._new.n_read <= self._n_before and record["trial"] not in self._unfinished
            shown = ended and is_whole(folder)
            self._trials[record["trial"]] = TrialRun(folder, record["config"], self._columns, shown=shown)
        elif event == "result":
            self._trials[record["trial"]].report(record)
        elif event == "ended":
            self._end(record)
        elif event in ("refused", "repaired", "duplicate"):
            self._counts[event] += 1

    def _end(self, record: Record) -> None:
        trial = self._trials.pop(record["trial"])
        evaluation = evaluation_of(record, trial.config)
        self._evaluations.append(evaluation)
        self._best.add(evaluation)
        self._counts[evaluation.status] += 1
        if evaluation.ok and not self._experiment_written:
            self._experiment_written = True
            self._search.add(experiment(self._columns, self._best.goal, trial.config, evaluation))
            self._search.flush()
        if self._new.n_read > self._n_shown:
            best = {f"search/best_{metric}": value for metric, value in self._best.values.items()}
            counts = {f"search/{name}": self._counts[event] for event, name in _COUNTS.items()}
            self._search.add(scalars({**best, **counts}), len(self._evaluations))
        trial.end(record)

    def _draw(self) -> None:
        """Show the Pareto figure and the best architecture, if there is anything new."""
        n = len(self._evaluations)
        if n == self._n_drawn or self._new.n_read <= self._n_shown:
            return
        self._n_drawn = n
        best = [text("search/best", self._best.table())] if self._best.evaluations else []
        self._search.add([*best, *pareto_figure("search/pareto_front", self._evaluations, self._best.goal)], n)

    def _flush(self) -> None:
        self._search.flush()
        for trial in self._trials.values():
            trial.file.flush()
