"""A search in simulated time: searcher and scheduler are asked as Tune asks them, trials are known in advance."""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher
from raynas.errors import RaynasError
from raynas.trials.no_controller import NO_CONTROLLER

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Trajectory:
    """What a search found, in the order of the ends of its trials.

    Args:
        seed: of the search.
        goal: what it was for.
        evaluations: those of the search.
        seconds: when each ended, in simulated time.
        trained_seconds: how long all trials that had ended by then had trained, together.
    """

    seed: int
    goal: Goal
    evaluations: tuple[Evaluation, ...]
    seconds: tuple[float, ...]
    trained_seconds: tuple[float, ...]

    @property
    def best(self) -> NDArray[np.float64]:
        """The best value of the first objective so far, after each evaluation; NaN before the first that complies.

        Trials that were stopped early do not count: what they would have scored is not known.
        """
        sign = self.goal.first.sign
        values = [
            sign * e.metrics[self.goal.first.metric]
            if e.status == "finished" and np.isfinite(self.goal.violation(e)) and self.goal.violation(e) == 0
            else -np.inf
            for e in self.evaluations
        ]
        best = np.maximum.accumulate(np.array(values, dtype=np.float64)) if values else np.zeros(0)
        return np.where(np.isfinite(best), sign * best, np.nan)

    def best_after(self, n: int) -> float:
        """The best of the first ``n`` evaluations; of all, if there were fewer."""
        return float(self.best[min(n, len(self.evaluations)) - 1]) if self.evaluations else float("nan")

    def best_by(self, seconds: float) -> float:
        """The best that was found by a time."""
        n = sum(ended <= seconds for ended in self.seconds)
        return self.best_after(n) if n else float("nan")


class Simulation:
    """Trials that run side by side, each a list of results known in advance.

    Args:
        searcher: proposes.
        answer: the results of a trial's config, oldest first; ``train_seconds`` in each is the time since its start,
            one per report where it is missing.
        scheduler: decides after each result but the last; None for no early stopping.
    """

    def __init__(
        self,
        searcher: ArchitectureSearcher,
        answer: Callable[[Mapping[str, Any]], Sequence[Result]],
        scheduler: TrialScheduler | None = None,
    ) -> None:
        self.searcher, self.answer, self.scheduler = searcher, answer, scheduler
        self.now = 0.0
        self.trained = 0.0
        self.n_started = 0
        self.ended: list[tuple[str, float, float]] = []
        self._events: list[tuple[float, int, str, int]] = []
        self._results: dict[str, Sequence[Result]] = {}
        self._trials: dict[str, Trial] = {}
        self._began: dict[str, float] = {}

    @property
    def n_running(self) -> int:
        """How many trials have not ended."""
        return len(self._results)

    def start(self) -> bool:
        """Start another trial, if the searcher proposes one."""
        trial = f"{self.n_started + 1:05d}"
        config = self.searcher.suggest(trial)
        if not isinstance(config, dict):
            return False
        self.n_started += 1
        self._results[trial], self._began[trial] = self.answer(config), self.now
        if self.scheduler:
            self._trials[trial] = Trial("raynas", trial_id=trial, config=config, stub=True)
            self.scheduler.on_trial_add(NO_CONTROLLER, self._trials[trial])
        self._expect(trial, 0)
        return True

    def advance(self) -> None:
        """Let time pass until the next result."""
        self.now, _, trial, i = heapq.heappop(self._events)
        result = self._results[trial][i]
        is_last = i + 1 == len(self._results[trial])
        if is_last or self._stops(trial, result):
            self._end(trial, result)
            return
        self.searcher.on_trial_result(trial, dict(result))
        self._expect(trial, i + 1)

    def _expect(self, trial: str, i: int) -> None:
        seconds = float(self._results[trial][i].get("train_seconds", i + 1))
        heapq.heappush(self._events, (self._began[trial] + seconds, self.n_started, trial, i))

    def _stops(self, trial: str, result: Result) -> bool:
        if not self.scheduler:
            return False
        decision = self.scheduler.on_trial_result(NO_CONTROLLER, self._trials[trial], dict(result))
        if decision not in (TrialScheduler.STOP, TrialScheduler.CONTINUE):
            raise RaynasError(f"{type(self.scheduler).__name__} pauses trials, which is not simulated; use Asha")
        return bool(decision == TrialScheduler.STOP)

    def _end(self, trial: str, result: Result) -> None:
        self.trained += self.now - self._began[trial]
        if self.scheduler and result.get("failed"):
            self.scheduler.on_trial_error(NO_CONTROLLER, self._trials[trial])
        elif self.scheduler:
            self.scheduler.on_trial_complete(NO_CONTROLLER, self._trials[trial], dict(result))
        self.searcher.on_trial_complete(trial, dict(result))
        self.ended.append((trial, self.now, self.trained))
        del self._results[trial]


def simulate(
    searcher: ArchitectureSearcher,
    answer: Callable[[Mapping[str, Any]], Sequence[Result]],
    n_trials: int,
    scheduler: TrialScheduler | None = None,
    *,
    n_workers: int = 1,
    seed: int = 0,
) -> Trajectory:
    """Run a whole search in simulated time.

    Args:
        searcher: a fresh one.
        answer: see ``Simulation``.
        n_trials: how many trials.
        scheduler: a fresh one; None for no early stopping.
        n_workers: how many trials run at a time.
        seed: what the trajectory is marked with.
    """
    simulation = Simulation(searcher, answer, scheduler)
    while True:
        while simulation.n_running < n_workers and simulation.n_started < n_trials and simulation.start():
            pass
        if not simulation.n_running:
            break
        simulation.advance()
    found = [searcher.evaluation_of(trial) for trial, _, _ in simulation.ended]
    return Trajectory(
        seed=seed,
        goal=searcher.goal,
        evaluations=tuple(e for e in found if e is not None),
        seconds=tuple(seconds for _, seconds, _ in simulation.ended),
        trained_seconds=tuple(trained for _, _, trained in simulation.ended),
    )
