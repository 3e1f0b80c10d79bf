"""choose_among_live(): the next trial is found among those that have not ended, however many have."""

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler


def choose_among_live(scheduler: TrialScheduler) -> None:
    """Let a scheduler that runs trials in their order look at those alone that have not ended.

    Tune's own looks at all trials of a search in each of its steps: after 5,000 that is most of the time of the driver.

    Args:
        scheduler: its method is replaced, unless it has another order.
    """
    if type(scheduler).choose_trial_to_run is not FIFOScheduler.choose_trial_to_run:
        return

    def choose_trial_to_run(controller: Any) -> Trial | None:
        live = sorted(controller.get_live_trials(), key=lambda trial: str(trial.trial_id))
        waiting = (trial for status in (Trial.PENDING, Trial.PAUSED) for trial in live if trial.status == status)
        return next(waiting, None)

    scheduler.choose_trial_to_run = choose_trial_to_run  # type: ignore[assignment, method-assign]
