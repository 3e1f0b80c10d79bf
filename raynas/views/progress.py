"""Progress: what a search has come to, as a table that stays in place in a terminal, or as lines in a log."""

import logging
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ray.tune import Callback
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from raynas.core.archive import Archive, Record, evaluation_of
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.metric import Metric
from raynas.core.searcher import ArchitectureSearcher
from raynas.errors import one_line
from raynas.metrics import METRICS

logger = logging.getLogger(__name__)

TABLE_SECONDS = 0.25
"""How often the table is drawn, at most; drawing takes a hundredth of the time at most."""

LINE_SECONDS = 10.0
"""How often a line is printed where there is no terminal."""

HINT = "Ctrl-C stops; the same command resumes."

MAX_RUNNING = 6
"""How many running trials are listed: the table must fit a terminal of 24 lines."""

_COSTS = ("params", "macs", "latency_ms")


class ProgressCallback(Callback):
    """Shows the progress of a search while Tune runs it; never lets Tune feel an error.

    Args:
        searcher: whose archive to show.
        num_samples: how many trials the search has in the end.
        console: where to show it; the default is standard output.
    """

    def __init__(self, searcher: ArchitectureSearcher, num_samples: int, console: Console | None = None) -> None:
        self._searcher: ArchitectureSearcher | None = searcher
        self._display: _Display | None = _Display(Progress(searcher.archive, num_samples), console or Console())
        self._warned = False

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Take in what is new, and show it if that is due."""
        self._safely(lambda display, searcher: display.update(searcher))

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Show the last state, and give the terminal back."""
        self._safely(lambda display, searcher: display.close(searcher))

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles callbacks; a copy elsewhere has no terminal.
        return {"_searcher": None, "_display": None, "_warned": False}

    def _safely(self, act: Callable[["_Display", ArchitectureSearcher], None]) -> None:
        if self._display is None or self._searcher is None:
            return
        try:
            act(self._display, self._searcher)
        except Exception as error:  # an exception in a callback would end the search
            if not self._warned:
                logger.warning("the progress shown is incomplete: %s", one_line(error))
            self._warned = True


class _Display:
    """When to show a progress, and how: a table on a terminal, otherwise lines."""

    def __init__(self, progress: "Progress", console: Console) -> None:
        self._progress = progress
        self._console = console
        self._live: Live | None = None
        self._redirected: list[tuple[Any, Any]] = []
        self._printed = False
        self._due = 0.0

    def update(self, searcher: ArchitectureSearcher) -> None:
        """Take in what is new, and show it if that is due."""
        self._progress.update(searcher.archive)
        now = time.monotonic()
        if now >= self._due:
            self._due = now + LINE_SECONDS  # where showing fails, not every step should try
            self._show(searcher)
            used = time.monotonic() - now
            self._due = now + (max(TABLE_SECONDS, 100 * used) if self._live else LINE_SECONDS)

    def close(self, searcher: ArchitectureSearcher) -> None:
        """Show the last state, and give the terminal back."""
        self._progress.update(searcher.archive)
        try:
            self._show(searcher)
        finally:
            if self._live:
                self._live.stop()
            for handler, stream in self._redirected:
                handler.setStream(stream)
            self._redirected.clear()

    def _show(self, searcher: ArchitectureSearcher) -> None:
        if not self._console.is_terminal or self._console.is_dumb_terminal or self._console.is_jupyter:
            self._print(searcher)
            return
        table = self._progress.table(searcher.space.name, searcher.goal)
        if self._live is None:
            self._live = self._open(table)
        self._live.update(table, refresh=True)

    def _open(self, table: RenderableType) -> Live:
        on_terminal = [stream for stream in (sys.stdout, sys.stderr) if stream.isatty()]
        live = Live(
            table,
            console=self._console,
            auto_refresh=False,
            redirect_stdout=sys.stdout in on_terminal,
            redirect_stderr=sys.stderr in on_terminal,
        )
        live.start()
        self._console.show_cursor(True)  # a killed driver must not leave the user without one
        # Handlers made before hold the terminal itself, where the table would overwrite their lines.
        for handler in _handlers():
            if handler.stream in on_terminal:
                self._redirected.append((handler, handler.stream))
                handler.setStream(sys.stderr)
        return live

    def _print(self, searcher: ArchitectureSearcher) -> None:
        header = [] if self._printed else [self._progress.header(searcher.space.name, searcher.goal)]
        self._printed = True
        for line in [*header, *self._progress.lines(searcher.goal)]:
            self._console.print(line, highlight=False, markup=False)


def _handlers() -> list[Any]:
    """The log handlers that write to a stream."""
    loggers = [log for log in logging.root.manager.loggerDict.values() if isinstance(log, logging.Logger)]
    handlers = [handler for log in [logging.root, *loggers] for handler in log.handlers]
    return [handler for handler in handlers if isinstance(handler, logging.StreamHandler)]


@dataclass
class _Running:
    """A trial that has not ended."""

    config: Mapping[str, Any]
    since: float
    fidelity: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


MAX_FAILURES = 20
"""How many failures are told between two lines of a log; the archive has them all."""


class Progress:
    """The state of a search, kept up to date by its archive's records at a cost that does not grow with their number.

    Args:
        archive: of the search; what stands in it now was done by earlier sessions.
        num_samples: how many trials the search has in the end.
        clock: seconds that pass.
    """

    def __init__(self, archive: Archive, num_samples: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._num_samples = num_samples
        self._clock = clock
        self._start = clock()
        self._records: Iterator[Record] = iter(())
        self._n_records = 0
        self._counts = Counter[str]()
        self._running: dict[str, _Running] = {}
        self._failures = deque[str](maxlen=MAX_FAILURES)
        self._goal = Goal()
        self._finished: list[Evaluation] = []
        self._front: list[Evaluation] = []
        self._n_ranked = 0
        self.update(archive)
        self._n_before = self._n_ended
        self._n_failures_told = self._counts["failed"]

    def update(self, archive: Archive) -> None:
        """Take in the records added since the last call.

        Args:
            archive: the same at each call.
        """
        if not self._n_records:
            self._records = iter(archive)
        while self._n_records < len(archive):  # asked for no more than there is, a list's iterator stays usable
            self._n_records += 1
            self._take(next(self._records))

    def _take(self, record: Record) -> None:
        event = record["event"]
        if event == "proposed":
            self._running[record["trial"]] = _Running(record["config"], self._clock(), 0, dict(record["costs"]))
        elif event == "result":
            running = self._running[record["trial"]]
            running.fidelity = record["fidelity"]
            running.metrics.update(record["metrics"])
        elif event == "ended":
            self._end(record)
        else:
            self._counts[event] += 1

    def _end(self, record: Record) -> None:
        running = self._running.pop(record["trial"])
        self._counts[record["status"]] += 1
        if record["status"] == "finished":
            self._finished.append(evaluation_of(record, running.config))
        elif record["status"] == "failed":
            self._failures.append(f"{record['trial']}: {' '.join(record['error'].split())}")

    @property
    def _n_ended(self) -> int:
        return sum(self._counts[status] for status in ("finished", "stopped", "failed"))

    def _best(self, goal: Goal) -> list[Evaluation]:
        """The Pareto front, or with one objective the best alone, among what was trained to its end."""
        if goal != self._goal:
            self._goal, self._front, self._n_ranked = goal, [], 0
        if self._n_ranked < len(self._finished):
            candidates = [*self._front, *self._finished[self._n_ranked :]]
            self._front = _front(candidates, goal)
            self._n_ranked = len(self._finished)
        return self._front

    def _seconds_left(self) -> float | None:
        """From the mean rate of this session; None before it has one."""
        here = self._n_ended - self._n_before
        left = max(self._num_samples - self._n_ended, 0)
        return (self._clock() - self._start) / here * left if here else None

    # --- for a terminal ----------------------------------------------------------------------------------------------

    def table(self, name: str, goal: Goal) -> RenderableType:
        """The state as a table of at most 21 lines.

        Args:
            name: of the search space.
            goal: what is searched for.
        """
        facts = Table.grid(padding=(0, 1, 0, 0), expand=True)
        facts.add_column(style="cyan", no_wrap=True, width=9)
        facts.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        facts.add_row("search", Text(_what(name, goal)))
        facts.add_row("trials", self._bar())
        for label, text in [*self._count_lines(), *self._best_lines(goal), *self._failure_lines()]:
            facts.add_row(label, Text(text))
        return Group(facts, *self._running_table(goal), Text(self._hint(), style="dim"))

    def _bar(self) -> Table:
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(self._num_samples, self._n_ended, width=24), self._time_line())
        return bar

    def _time_line(self) -> str:
        left = self._seconds_left()
        passed = f"{self._n_ended}/{self._num_samples} in {duration(self._clock() - self._start)}"
        return f"{passed}, about {duration(left)} left" if left else passed

    def _count_lines(self) -> list[tuple[str, str]]:
        ends = ", ".join(f"{self._counts[status]} {status}" for status in ("finished", "stopped", "failed"))
        lines = [("", f"{ends}, {len(self._running)} running")]
        if self._n_before:
            lines.append(("", f"{self._n_before} ended in earlier sessions"))
        if self._counts["refused"] or self._counts["duplicate"]:
            text = f"{self._counts['refused']} broke a constraint, {self._counts['duplicate']} were known already"
            lines.append(("skipped", text))
        return lines

    def _best_lines(self, goal: Goal) -> list[tuple[str, str]]:
        best = self._best(goal)
        metrics = [o.metric for o in goal.objectives]
        if not best:
            return [("best", "nothing yet that was trained to its end and meets the constraints")]
        if len(metrics) == 1:
            return [("best", describe(best[0], goal, metrics))]
        ends = [max(best, key=lambda e, i=i: goal.scores(e)[i]) for i in range(len(metrics))[:3]]  # type: ignore[misc]
        return [
            ("front", f"{len(best)} architecture{'s' if len(best) > 1 else ''}; the best in each objective:"),
            *(("", describe(end, goal, [metric, *metrics])) for metric, end in zip(metrics, ends, strict=False)),
        ]

    def _failure_lines(self) -> list[tuple[str, str]]:
        return [("failed", failure) for failure in list(self._failures)[-2:]]

    def _running_table(self, goal: Goal) -> list[RenderableType]:
        if not self._running:
            return []
        metrics = [o.metric for o in goal.objectives]
        metrics = list(dict.fromkeys([*metrics, *goal.watched, *_COSTS]))[: max(4, len(metrics) + len(goal.watched))]
        table = Table(box=None, header_style="cyan", padding=(0, 2, 0, 0), show_edge=False)
        table.add_column("running", no_wrap=True, min_width=9)
        known = known_metrics(goal)
        for title in ("epoch", *(title_of(m, known) for m in metrics), "for"):
            table.add_column(title, justify="right", no_wrap=True)
        for trial, running in list(self._running.items())[:MAX_RUNNING]:
            values = [amount(m, running.metrics[m], known) if m in running.metrics else "" for m in metrics]
            table.add_row(Text(trial), str(running.fidelity), *values, duration(self._clock() - running.since))
        more = len(self._running) - MAX_RUNNING
        return [Text(), table, *([Text(f"and {more} more")] if more > 0 else [])]

    def _hint(self) -> str:
        return "" if self._n_ended >= self._num_samples else HINT

    # --- for a log ---------------------------------------------------------------------------------------------------

    def header(self, name: str, goal: Goal) -> str:
        """What is searched, in a sentence."""
        before = f", {self._n_before} done in earlier sessions" if self._n_before else ""
        return f"Searching {_what(name, goal)}; {self._num_samples} trials{before}. {HINT}"

    def lines(self, goal: Goal) -> list[str]:
        """The state in a line, behind one for each of the last failures not told yet."""
        n_new = self._counts["failed"] - self._n_failures_told
        self._n_failures_told = self._counts["failed"]
        failures = [f"failed {failure}" for failure in list(self._failures)[-n_new:] if n_new]
        best = self._best(goal)
        what = f"best {describe(best[0], goal, [goal.first.metric], costs=())}" if best else self._so_far(goal)
        ends = "".join(f", {self._counts[s]} {s}" for s in ("stopped", "failed") if self._counts[s])
        return [*failures, f"{self._time_line()}{ends}; {what}"]

    def _so_far(self, goal: Goal) -> str:
        """What is known before the first trial finished: how far the one that is furthest has got."""
        trial, running = max(self._running.items(), key=lambda item: item[1].fidelity, default=("", None))
        if running is None or not running.fidelity:
            return "no result yet"
        metric, known = goal.first.metric, known_metrics(goal)
        value = f", {metric} {amount(metric, running.metrics[metric], known)}" if metric in running.metrics else ""
        return f"{trial} at epoch {running.fidelity}{value}"


def _front(candidates: Sequence[Evaluation], goal: Goal) -> list[Evaluation]:
    if len(goal.objectives) > 1:
        return goal.pareto_front(candidates)
    best = goal.best(candidates)
    return [best] if best else []


def _what(name: str, goal: Goal) -> str:
    objectives = [f"{'highest' if o.mode == 'max' else 'lowest'} {o.metric}" for o in goal.objectives]
    return f"{name} for {', '.join([*objectives, *map(str, goal.constraints)])}"


def describe(evaluation: Evaluation, goal: Goal, metrics: Sequence[str], costs: Sequence[str] = _COSTS) -> str:
    """Return an evaluation in a line: its trial, the given metrics, those watched, its costs."""
    known = known_metrics(goal)
    shown = [m for m in dict.fromkeys([*metrics, *goal.watched, *costs]) if m in evaluation.metrics]
    values = (f"{title_of(m, known)} {amount(m, evaluation.metrics[m], known)}" for m in shown)
    return f"{evaluation.trial}: {', '.join(values)}"


def known_metrics(goal: Goal) -> Mapping[str, Metric]:
    """Return the metrics whose unit and title are known: the user's before raynas's."""
    return {**METRICS, **goal.metrics}


def amount(metric: str, value: float, metrics: Mapping[str, Metric] = METRICS) -> str:
    """Return a metric's value for people: "1.23 M", "3.41 ms", "0.9312"."""
    if metric in metrics and (unit := metrics[metric].unit):
        return f"{value:.0f} {unit}" if abs(value) >= 100 else f"{value:.3g} {unit}"
    for factor, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * factor:  # what is rounded up to it
            return f"{value / factor:.3g} {letter}"
    return f"{value:.4g}"


def title_of(metric: str, metrics: Mapping[str, Metric]) -> str:
    """Return the title of a metric in tables."""
    return (metric in metrics and metrics[metric].title) or metric


def duration(seconds: float) -> str:
    """Seconds for people: "12 s", "3 m 05 s", "2 h 03 m", "1 d 04 h"."""
    whole = round(seconds)
    for unit, name, part, part_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // part:02d} {part_name}"
    return f"{whole} s"
