"""The course of a search: every score, the best so far, the hypervolume so far, and the computing time so far."""

from collections.abc import Sequence
from dataclasses import dataclass

from raynas.analysis.shown_metrics import compared
from raynas.core.evaluation import Evaluation, Status
from raynas.core.goal import Goal, Objective
from raynas.core.pareto import hypervolume

SECONDS = "train_seconds"
"""Metric of the seconds that a trial computed."""


@dataclass(frozen=True, kw_only=True)
class History:
    """The course of a search, one entry for each trial in the order of their ends.

    Args:
        objective: the first of the goal.
        trials: names.
        statuses: the ways the trials ended.
        values: of the objective; None for a trial that has none.
        complies: whether the trial meets the hard constraints.
        best: of the objective, among the trials so far that finished and comply; None while there is none.
        seconds: that all trials so far computed together, as far as they say.
    """

    objective: Objective
    trials: tuple[str, ...]
    statuses: tuple[Status, ...]
    values: tuple[float | None, ...]
    complies: tuple[bool, ...]
    best: tuple[float | None, ...]
    seconds: tuple[float, ...]

    @property
    def improvements(self) -> list[int]:
        """Indices of the trials that were the best so far when they ended."""
        return [i for i, value in enumerate(self.best) if value is not None and (i == 0 or value != self.best[i - 1])]


def history(evaluations: Sequence[Evaluation], goal: Goal) -> History:
    """Follow the first objective through a search.

    Args:
        evaluations: of the search, in the order of their ends.
        goal: of the search.
    """
    best: float | None = None
    seconds = 0.0
    bests: list[float | None] = []
    totals: list[float] = []
    complies = [goal.violation(e) == 0 for e in evaluations]
    for evaluation, is_within in zip(evaluations, complies, strict=True):
        value = evaluation.metrics.get(goal.first.metric)
        if value is not None and is_within and evaluation.status == "finished":
            best = float(value) if best is None or goal.first.sign * (value - best) > 0 else best
        seconds += evaluation.metrics.get(SECONDS, 0.0)
        bests.append(best)
        totals.append(seconds)
    return History(
        objective=goal.first,
        trials=tuple(e.trial for e in evaluations),
        statuses=tuple(e.status for e in evaluations),
        values=tuple(e.metrics.get(goal.first.metric) for e in evaluations),
        complies=tuple(complies),
        best=tuple(bests),
        seconds=tuple(totals),
    )


@dataclass(frozen=True, kw_only=True)
class HypervolumeHistory:
    """The hypervolume that the trials so far dominate, one entry for each trial in the order of their ends.

    Args:
        objectives: the metrics that span the volume.
        reference: the point from which it is measured, a value of each metric; the same for all entries.
        values: in the product of the units of the metrics.
    """

    objectives: tuple[Objective, ...]
    reference: tuple[float, ...]
    values: tuple[float, ...]


def hypervolume_history(
    evaluations: Sequence[Evaluation],
    goal: Goal,
    objectives: Sequence[Objective] | None = None,
    *,
    reference: Sequence[float] | None = None,
) -> HypervolumeHistory | None:
    """Follow the hypervolume through a search; trials that finished and comply count.

    Args:
        evaluations: of the search, in the order of their ends.
        goal: of the search.
        objectives: metrics that span the volume; default those of the goal, and where that is one alone, also the first
            metric that it is compared with.
        reference: a value of each metric that all should beat; default the worst among the trials that count. A search
            that is still running needs one that stays, or earlier values change.

    Returns:
        None if no trial counts.
    """
    objectives = tuple(objectives or _spanning(evaluations, goal))
    scores = [_scores(e, goal, objectives) for e in evaluations]
    counted = [s for s in scores if s is not None]
    if not counted:
        return None
    worst = [min(column) for column in zip(*counted, strict=True)]
    origin = worst if reference is None else [o.sign * r for o, r in zip(objectives, reference, strict=True)]
    values: list[float] = []
    dominating: list[tuple[float, ...]] = []
    for score in scores:
        if score is not None and not any(_covers(other, score) for other in dominating):
            dominating = [*(other for other in dominating if not _covers(score, other)), score]
            values.append(hypervolume(dominating, origin))
        else:
            values.append(values[-1] if values else 0.0)
    plain = tuple(o.sign * r for o, r in zip(objectives, origin, strict=True))
    return HypervolumeHistory(objectives=objectives, reference=plain, values=tuple(values))


def _spanning(evaluations: Sequence[Evaluation], goal: Goal) -> list[Objective]:
    if len(goal.objectives) > 1:
        return list(goal.objectives)
    return [goal.first, *[o for o in compared(goal) if any(o.metric in e.metrics for e in evaluations)][:1]]


def _scores(evaluation: Evaluation, goal: Goal, objectives: Sequence[Objective]) -> tuple[float, ...] | None:
    """Return a value for each objective, larger is better; None for a trial that does not count."""
    metrics = evaluation.metrics
    counts = evaluation.status == "finished" and goal.violation(evaluation) == 0
    if not counts or any(o.metric not in metrics for o in objectives):
        return None
    return tuple(o.sign * float(metrics[o.metric]) for o in objectives)


def _covers(first: Sequence[float], second: Sequence[float]) -> bool:
    return all(a >= b for a, b in zip(first, second, strict=True))
