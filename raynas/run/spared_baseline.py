"""spare_baseline(): the baseline's trial is not stopped early, as limits and tables compare with its full training."""

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from raynas.core.outcome import Result, fidelity_of
from raynas.core.searcher import ArchitectureSearcher


def spare_baseline(scheduler: TrialScheduler, searcher: ArchitectureSearcher, max_fidelity: int) -> None:
    """Let a scheduler see the reports of the baseline's trial as it sees all others, but not stop it.

    Args:
        scheduler: decides after each report; its method is replaced.
        searcher: knows the baseline.
        max_fidelity: number of reports after which a trial may be stopped.
    """
    baseline, decide = searcher.baseline_point, scheduler.on_trial_result
    if baseline is None:
        return

    def on_trial_result(controller: Any, trial: Trial, result: Result) -> str:
        decision = decide(controller, trial, result)
        if decision != TrialScheduler.STOP or fidelity_of(result) >= max_fidelity:
            return decision
        if searcher.space.from_config(trial.config) != baseline:
            return decision
        getattr(scheduler, "_stopped_trials", set()).discard(trial)  # the median rule refuses reports of these
        return TrialScheduler.CONTINUE

    scheduler.on_trial_result = on_trial_result  # type: ignore[assignment, method-assign]
