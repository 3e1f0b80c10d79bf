"""The share of chance in a report: the choice among near-ties, and the comparison of two searches."""

import math

from raynas.analysis import known_metrics
from raynas.core.evaluation import Evaluation
from raynas.core.near_ties import cost_signs, costs_of, standard_error
from raynas.core.result import SearchResult
from raynas.views.amounts import amount

NORMAL_95 = 1.96
"""Standard errors to either side of a value that hold 95 % of a normal distribution."""


def margin(metric: str, *evaluations: Evaluation | None) -> float | None:
    """Return half of the 95 % interval of the difference of two values; None where the noise of one is not known.

    Both are taken as independent. Scores on the same examples rise and fall together, which makes it too wide.
    """
    errors = [standard_error(e, metric) if e else None for e in evaluations]
    known = [error for error in errors if error is not None]
    return NORMAL_95 * math.hypot(*known) if len(known) == len(errors) else None


def choice(result: SearchResult) -> str:
    """Return why the best was chosen among trials of equal, or nearly equal, score; "" if it was the only one."""
    near = result.goal.near_ties(result.candidates)
    if len(near) < 2:
        return ""
    goal, best = result.goal, near[0]
    highest, metric = goal.sort(near)[0], goal.first.metric
    if best is highest:
        equal = sum(e.metrics[metric] == best.metrics[metric] for e in near)
        return f"{equal} trials reached the same {metric}; this one costs least." if equal > 1 else ""
    known = known_metrics(goal)
    scores = [f"{e.metrics[metric]:.4g}" for e in (highest, best)]
    distance = f"{goal.tolerance_among([highest, *near]):.2g}"
    why = f"the noise, one standard error of {distance}" if goal.tolerance is None else f"the tolerance of {distance}"
    cheaper = _cheaper(best, highest, result)
    costs = [amount(cheaper, e.metrics[cheaper], known) for e in (best, highest)] if cheaper else []
    instead = f", with {costs[0]} instead of {costs[1]} {cheaper}" if costs else ""
    return (
        f"Trial {highest.trial} scored {scores[0]}. This one scored {scores[1]}, which is within {why}{instead}; "
        "tolerance 0 would choose the other."
    )


def repeated(result: SearchResult) -> list[str]:
    """Return a note on the trainings with other seeds, best first; none where there were none."""
    goal, metric = result.goal, result.goal.first.metric
    found = [e for e in goal.sort(result.candidates) if metric in e.first and e.repeats]
    if not found:
        return []
    rows = [f"trial {e.trial} {_with_error(e, metric)} (first {e.first[metric]:.4g})" for e in found]
    return [
        f"Trained again with other seeds, mean ± standard error of {metric}: {', '.join(rows)}. The winner is chosen "
        "by these means. First scores do not count in them: they were chosen for being high (the winner's curse)."
    ]


def _with_error(evaluation: Evaluation, metric: str) -> str:
    error = standard_error(evaluation, metric)
    value = f"{evaluation.metrics[metric]:.4g}"
    return value if error is None else f"{value} ± {error:.2g}"


def _cheaper(best: Evaluation, highest: Evaluation, result: SearchResult) -> str:
    """Return the first cost that the best has less of."""
    signs = cost_signs(result.goal.constraints, result.goal.objectives)
    pairs = zip(signs, costs_of(best, signs), costs_of(highest, signs), strict=True)
    return next((name for name, a, b in pairs if a < b and name in highest.metrics), "")
