"""rank_by_score(): schedulers compare trials by the score that soft constraints change, as the search does."""

from collections.abc import Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.utils import flatten_dict

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation, is_metric
from raynas.core.goal import Goal
from raynas.core.outcome import Result
from raynas.core.searcher import ArchitectureSearcher

_NOWHERE = Architecture({})


def rank_by_score(scheduler: TrialScheduler, searcher: ArchitectureSearcher) -> None:
    """Let a scheduler see the first objective as soft constraints make it, in the unit and direction that it has.

    So what is stopped early is what the search would rank last: MnasNet's reward, or a weighted sum. A relative limit
    counts as soon as the baseline is known. Without soft constraints nothing changes.

    Args:
        scheduler: compares reports by the first objective; its methods are replaced.
        searcher: has the goal.
    """
    if not any(constraint.soft for constraint in searcher.goal.constraints):
        return
    decide, complete = scheduler.on_trial_result, scheduler.on_trial_complete

    def on_trial_result(controller: Any, trial: Trial, result: Result) -> str:
        return decide(controller, trial, with_score(searcher.goal, result))

    def on_trial_complete(controller: Any, trial: Trial, result: Result) -> None:
        complete(controller, trial, with_score(searcher.goal, result))

    scheduler.on_trial_result = on_trial_result  # type: ignore[assignment, method-assign]
    scheduler.on_trial_complete = on_trial_complete  # type: ignore[assignment, method-assign]


def with_score(goal: Goal, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report whose first objective is its score, turned back to the direction of the objective."""
    flat = flatten_dict(dict(result))
    if not is_metric(flat.get(goal.first.metric)):
        return dict(result)
    score = goal.scores(Evaluation(_NOWHERE, flat))[0]
    return {**result, goal.first.metric: goal.first.sign * score}
