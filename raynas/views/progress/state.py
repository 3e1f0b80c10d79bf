"""The state of a search, from the records of its archive."""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from raynas.core.archive import Archive, Record, evaluation_of
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.measurement import Provenance, provenance_of
from raynas.views.amounts import duration
from raynas.views.new_records import NewRecords

MAX_FAILURES = 20
"""Number of last failures that are kept; the archive has them all."""

SLOW_FACTOR, SLOW_SECONDS, SLOW_AFTER = 5, 10.0, 3
"""A trial is slow that runs this many times as long as the median of the finished ones, and this many seconds, as soon
as this many have finished."""


@dataclass
class RunningTrial:
    """A trial that has not ended.

    Args:
        config: of the trial.
        since: clock when it was proposed.
        fidelity: of its last report; 0 before the first.
        metrics: the last value of each.
    """

    config: Mapping[str, object]
    since: float
    fidelity: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


class SearchState:
    """The state of a search, kept up to date by its archive's records at a cost that does not grow with their number.

    Args:
        archive: of the search; its records so far are of earlier sessions.
        num_samples: trials that the search has in the end.
        clock: returns seconds.
    """

    def __init__(self, archive: Archive, num_samples: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.num_samples = num_samples
        self.clock = clock
        self.counts = Counter[str]()
        self.running: dict[str, RunningTrial] = {}
        self.failures = deque[str](maxlen=MAX_FAILURES)
        self.doubts = Counter[str]()
        self.last_doubt = ""
        self._start = clock()
        self._new = NewRecords()
        self._goal: Goal | None = None
        self._finished: list[Evaluation] = []
        self._front: list[Evaluation] = []
        self._n_ranked = 0
        self._durations = deque[float](maxlen=100)
        self.update(archive)
        self.n_before = self.n_ended
        self._durations.clear()  # those of earlier sessions are unknown

    def update(self, archive: Archive) -> None:
        """Read the records added since the last call.

        Args:
            archive: the same at each call.
        """
        for record in self._new.read(archive):
            self._read(record)

    def _read(self, record: Record) -> None:
        event = record["event"]
        if event == "proposed":
            self.running[record["trial"]] = RunningTrial(record["config"], self.clock(), 0, dict(record["costs"]))
        elif event == "result":
            running = self.running[record["trial"]]
            running.fidelity = record["fidelity"]
            running.metrics.update(record["metrics"])
        elif event == "ended":
            self._end(record)
        else:
            self.counts[event] += 1
        if event in ("ended", "refused"):
            self._doubt(provenance_of(record["metrics"]))

    def _doubt(self, provenance: Mapping[str, Provenance]) -> None:
        """Count the figures that cannot be trusted, by metric."""
        for metric, origin in provenance.items():
            if origin.doubt:
                self.doubts[metric] += 1
                self.last_doubt = origin.doubt

    def _end(self, record: Record) -> None:
        running = self.running.pop(record["trial"])
        self.counts[record["status"]] += 1
        if record["status"] == "finished":
            self._finished.append(evaluation_of(record, running.config))
            self._durations.append(self.clock() - running.since)
        elif record["status"] == "failed":
            self.failures.append(f"{record['trial']}: {' '.join(record['error'].split())}")

    @property
    def n_ended(self) -> int:
        """Number of trials that ended, however they did."""
        return sum(self.counts[status] for status in ("finished", "stopped", "failed"))

    @property
    def seconds_passed(self) -> float:
        """Seconds since this session began."""
        return self.clock() - self._start

    @property
    def seconds_left(self) -> float | None:
        """Estimate from the mean rate of this session; None before its first trial ended."""
        ended = self.n_ended - self.n_before
        left = max(self.num_samples - self.n_ended, 0)
        return self.seconds_passed / ended * left if ended else None

    @property
    def slow(self) -> dict[str, float]:
        """The running trials that take far longer than finished ones did, and how many times as long."""
        if len(self._durations) < SLOW_AFTER:
            return {}
        usual, now = max(median(self._durations), SLOW_SECONDS / SLOW_FACTOR), self.clock()
        times = {trial: (now - running.since) / usual for trial, running in self.running.items()}
        return {trial: factor for trial, factor in times.items() if factor >= SLOW_FACTOR}

    def best(self, goal: Goal) -> Sequence[Evaluation]:
        """Return the Pareto front, or with one objective the best alone, among what was trained to its end."""
        if goal != self._goal:
            self._goal, self._front, self._n_ranked = goal, [], 0
        if self._n_ranked < len(self._finished):
            candidates = [*self._front, *self._finished[self._n_ranked :]]
            best = goal.best(candidates)
            single = [best] if best else []
            self._front = goal.pareto_front(candidates) if len(goal.objectives) > 1 else single
            self._n_ranked = len(self._finished)
        return self._front


def time_line(state: SearchState) -> str:
    """Return the progress in numbers: "12/60 in 40 s, about 3 m 05 s left"."""
    left = state.seconds_left
    passed = f"{state.n_ended}/{state.num_samples} in {duration(state.seconds_passed)}"
    return f"{passed}, about {duration(left)} left" if left else passed


def goal_line(name: str, goal: Goal) -> str:
    """Return the aim of a search in a line: "CNN for highest accuracy, params <= 1e+06"."""
    objectives = [f"{'highest' if o.mode == 'max' else 'lowest'} {o.metric}" for o in goal.objectives]
    return f"{name} for {', '.join([*objectives, *map(str, goal.constraints)])}"
