"""NO_CONTROLLER: Tune's controller for a scheduler that is driven outside Tune, in a replay or a simulation."""

from typing import Any

from ray.tune.experiment import Trial


class _NoController:
    """Nothing is running, and nothing can be changed."""

    def get_live_trials(self) -> set[Trial]:
        return set()

    def get_trials(self) -> list[Trial]:
        return []


NO_CONTROLLER: Any = _NoController()
"""Typed as ``Any`` because it replaces Tune's ``TuneController``, of which schedulers read only this much."""
