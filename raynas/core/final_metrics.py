"""The metrics of a goal that are measured at the end of a search, on its winner and its Pareto front."""

from collections.abc import Sequence

from raynas.core.constraint import Constraint
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.metric import Metric


def measured_at_end(goal: Goal) -> dict[str, Metric]:
    """Return the metrics of objectives and constraints that are measured at the end of a search, by name."""
    known = {name: goal.metrics[name].at_end for name in goal.names if name in goal.metrics}
    return {name: metric for name, metric in known.items() if metric}


def limits_at_end(goal: Goal) -> list[Constraint]:
    """Return the hard constraints on metrics that are measured at the end of a search."""
    return [constraint for constraint in goal.hard if constraint.metric in measured_at_end(goal)]


def unmeasured(goal: Goal, evaluation: Evaluation) -> list[str]:
    """Return the names of an evaluation's metrics that are to be measured at the end of a search, and were not.

    Only what was measured here before has a provenance: nobody knows how a function of the user's, or the author of a
    table, came by a figure.
    """
    return [name for name in measured_at_end(goal) if name in evaluation.provenance and name not in evaluation.first]


def is_in_question(goal: Goal, evaluation: Evaluation) -> bool:
    """Return True if a hard limit is on a metric of an evaluation that is still to be measured at the end."""
    limited = {constraint.metric for constraint in limits_at_end(goal)}
    return not limited.isdisjoint(unmeasured(goal, evaluation))


def why_none_is_believed(goal: Goal, full: Sequence[Evaluation], broken: Sequence[Evaluation]) -> str:
    """Return a clause on limits that were broken at the end, and on what was not measured; "" if none was.

    Args:
        goal: of the search.
        full: the evaluations that ran to their own end.
        broken: those of them that broke a limit only at the end.
    """
    if not broken:
        return ""
    n_open = sum(goal.violation(e) == 0 for e in full if is_in_question(goal, e))
    more = f", and {n_open} more were not measured then" if n_open else ""
    return f"; {len(broken)} of it broke a limit only when measured at the end of the search{more}"
