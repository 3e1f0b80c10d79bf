"""Progress as lines in a log."""

from raynas.analysis import known_metrics
from raynas.core.goal import Goal
from raynas.views.amounts import amount, describe, figures
from raynas.views.progress.state import SearchState, goal_line, time_line
from raynas.views.progress.table import SLOW_HINT


class ProgressLines:
    """Words the state of a search, and tells each failure and each slow trial once.

    Args:
        state: of the search.
    """

    def __init__(self, state: SearchState) -> None:
        self._state = state
        self._n_failures_told = state.counts["failed"]
        self._slow_told: set[str] = set()

    def header(self, name: str, goal: Goal, hint: str) -> str:
        """Return the aim of the search in a sentence."""
        before = f", {self._state.n_before} done in earlier sessions" if self._state.n_before else ""
        return f"Searching {goal_line(name, goal)}; {self._state.num_samples} trials{before}. {hint}"

    def lines(self, goal: Goal) -> list[str]:
        """Return a line for each of the last failures and slow trials that are new, and one for the state."""
        state = self._state
        n_new = state.counts["failed"] - self._n_failures_told
        self._n_failures_told = state.counts["failed"]
        failures = [f"failed {failure}" for failure in list(state.failures)[-n_new:] if n_new]
        best = state.best(goal)
        found = f"best {describe(best[0], goal, [goal.first.metric], costs=())}" if best else self._so_far(goal)
        ends = "".join(f", {state.counts[s]} {s}" for s in ("stopped", "failed") if state.counts[s])
        base = figures(goal.baseline, goal, [goal.first.metric], costs=())
        return [*failures, *self._slow(), f"{time_line(state)}{ends}; {found}{f'; baseline {base}' if base else ''}"]

    def _slow(self) -> list[str]:
        slow = {trial: times for trial, times in self._state.slow.items() if trial not in self._slow_told}
        self._slow_told |= slow.keys()
        return [
            f"slow {trial}: takes {times:.0f} times as long as others; {SLOW_HINT}" for trial, times in slow.items()
        ]

    def _so_far(self, goal: Goal) -> str:
        """Return the last report of the trial that is furthest, for as long as none has finished."""
        trials = self._state.running.items()
        trial, running = max(trials, key=lambda item: item[1].fidelity, default=("", None))
        if running is None or not running.fidelity:
            return "no result yet"
        metric, known = goal.first.metric, known_metrics(goal)
        value = f", {metric} {amount(metric, running.metrics[metric], known)}" if metric in running.metrics else ""
        return f"{trial} at epoch {running.fidelity}{value}"
