"""Trajectory: the evaluations of a search in simulated time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal


@dataclass(frozen=True)
class Trajectory:
    """Evaluations of a search, in the order in which its trials ended.

    Args:
        seed: seed of the search.
        goal: objectives and constraints of the search.
        evaluations: the evaluations.
        seconds: simulated time at which each ended.
        trained_seconds: total training time of all trials that had ended by then.
    """

    seed: int
    goal: Goal
    evaluations: tuple[Evaluation, ...]
    seconds: tuple[float, ...]
    trained_seconds: tuple[float, ...]

    @property
    def best(self) -> NDArray[np.float64]:
        """The best value of the first objective after each evaluation; NaN before the first that meets the constraints.

        Trials that were stopped early do not count: their final score is unknown.
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
        """Return the best of the first ``n`` evaluations; of all, if there were fewer."""
        return float(self.best[min(n, len(self.evaluations)) - 1]) if self.evaluations else float("nan")

    def best_by(self, seconds: float) -> float:
        """Return the best found by a simulated time; NaN if none had ended."""
        n = sum(ended <= seconds for ended in self.seconds)
        return self.best_after(n) if n else float("nan")
