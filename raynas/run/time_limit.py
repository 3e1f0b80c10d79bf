"""TimeLimit: ends trials that take longer than they may, also in a loop that never returns."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import ray
from ray import tune
from ray.tune.experiment import Trial

from raynas.core.archive import Archive
from raynas.run.lost_trials import SearchTrial
from raynas.trials.checkpoint import CHECKPOINT_KEY

GRACE_SECONDS = 1.0
"""Time that an actor has to answer, before it is taken to be busy with its trial."""


def too_long(max_seconds: float) -> str:
    """Return the reason of the failure of a trial that took longer than ``max_seconds``."""
    return f"took longer than max_trial_seconds={max_seconds:g}"


class TimeLimit(tune.Callback):
    """Kills the actors of trials that take longer than they may; each has failed then, and is not tried again.

    What counts is the time of the trial itself: from its start, or its last report, to now, and before that the time
    that its process measured. A resumed trial continues where its checkpoint was.

    Args:
        max_seconds: of a trial, at least 0.
        archive: of the search; says how long resumed trials have run.
        clock: returns seconds.
    """

    def __init__(self, max_seconds: float, archive: Archive, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_seconds = max_seconds
        self._clock = clock
        self._trained = {r["trial"]: r["metrics"].get("train_seconds", 0.0) for r in archive.events("result")}
        self._running: dict[str, _Run] = {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """Start the clock, also for a trial that was paused."""
        run = self._running.get(trial.trial_id)
        if run is None or run.trial is not trial:
            resumed = CHECKPOINT_KEY in trial.config
            run = _Run(
                cast(SearchTrial, trial),
                self._clock(),
                earlier=self._trained.get(trial.trial_id, 0.0) if resumed else 0.0,
            )
            self._running[trial.trial_id] = run
        run.since, run.answer = self._clock(), None

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: Mapping[str, Any], **info: object
    ) -> None:
        """Count the time that the process measured."""
        self._trained[trial.trial_id] = float(result.get("train_seconds", 0.0))
        run = self._running.get(trial.trial_id)
        if run is None:
            return
        run.spent, run.since, run.answer = float(result["time_total_s"]), self._clock(), None
        if result.get("done"):  # its last checkpoint may still be written
            del self._running[trial.trial_id]

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """Stop the clock."""
        self._running.pop(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """Stop the clock."""
        self._running.pop(trial.trial_id, None)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: object) -> None:
        """End the trials that have taken too long."""
        for run in list(self._running.values()):
            if run.trial.status == Trial.RUNNING and self._is_over(run):
                self._end(run)

    def _is_over(self, run: "_Run") -> bool:
        """Return whether a trial has taken too long by what its process measured, or is at it now."""
        if run.earlier + run.spent > self._max_seconds:
            return True
        now, actor = self._clock(), run.trial.temporary_state.ray_actor
        if actor is None or run.earlier + run.spent + now - run.since <= self._max_seconds:
            return False
        # The driver may have been busy itself while the trial finished. An actor answers when it has done what it was
        # asked for before.
        if run.answer is None:
            run.answer, run.asked = actor.get_current_ip_pid.remote(), now
        if ray.wait([run.answer], timeout=0)[0]:
            run.answer, run.since = None, now
        return run.answer is not None and now - run.asked >= GRACE_SECONDS

    def _end(self, run: "_Run") -> None:
        trial, actor = run.trial, run.trial.temporary_state.ray_actor
        del self._running[trial.trial_id]
        trial.killed_because = too_long(self._max_seconds)
        trial.max_failures = 0  # otherwise Tune would try it again
        if actor is not None:
            ray.kill(actor)

    def __getstate__(self) -> dict[str, Any]:
        # Tune may pickle callbacks; actors and trials of this process mean nothing elsewhere.
        return {**vars(self), "_running": {}}


@dataclass
class _Run:
    """The time that a trial has taken.

    Args:
        trial: the trial.
        since: clock at its start, its last report or its last answer.
        earlier: seconds in earlier runs that count.
        spent: seconds up to the last report, as its process measured them.
        answer: reference to the answer of its actor, if that was asked.
        asked: clock when it was asked.
    """

    trial: SearchTrial
    since: float
    earlier: float
    spent: float = 0.0
    answer: Any = None
    asked: float = 0.0
