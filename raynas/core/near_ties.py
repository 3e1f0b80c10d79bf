"""Ties and near-ties: which costs decide between equal scores, and how far apart scores must be to differ.

Within one standard error of the best the cheapest candidate is chosen (the 1 SE rule: Breiman, Friedman, Olshen and
Stone, "Classification and Regression Trees", 1984, section 3.4.3). Deviation: their error is one of cross-validation;
here it is that of repeated trainings, or else the binomial one of the examples that an accuracy was measured on.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from raynas.core.constraint import Constraint
from raynas.core.evaluation import Evaluation
from raynas.core.measurement import Measured, Provenance
from raynas.core.objective import Objective

COUNTED_COSTS = ("params", "macs")
"""Costs that decide between equals where no limited metric does, in this order; less is better."""

N_EXAMPLES = "n_examples"
"""Fact in the provenance of a share of right answers: the number of examples that were asked."""


def share_of(n_right: float, n_examples: int) -> Measured:
    """Return a share of right answers, such as an accuracy, that remembers the number of examples."""
    return Measured(n_right / n_examples, Provenance(facts={N_EXAMPLES: n_examples}))


def cost_signs(constraints: Iterable[Constraint], objectives: Iterable[Objective]) -> dict[str, int]:
    """Return the metrics that decide between equal scores, in their order, each with the factor that makes less better.

    These are the metrics of constraints, in the order of these, then ``COUNTED_COSTS``.
    """
    limited = {c.metric: 1 if c.is_upper else -1 for c in constraints}
    signs = {**limited, **{name: 1 for name in COUNTED_COSTS if name not in limited}}
    aims = {objective.metric for objective in objectives}
    return {name: sign for name, sign in signs.items() if name not in aims}


def costs_of(evaluation: Evaluation, signs: Mapping[str, int]) -> tuple[float, ...]:
    """Return the costs of an evaluation in their order, less is better; infinite where one is not known."""
    metrics = evaluation.metrics
    return tuple(sign * metrics[name] if name in metrics else math.inf for name, sign in signs.items())


def standard_error(evaluation: Evaluation, metric: str) -> float | None:
    """Return the standard error of a metric; None if nothing is known of it.

    Of two or more trainings it is that of their mean. Of one, for a share p of n examples, it is sqrt(p (1 - p) / n),
    with two right and two wrong answers added, so that a share of 1 is not taken for certain (Agresti and Coull 1998).
    Another training of the network would differ by more than that: the weights are others too.
    """
    values = _repeated(evaluation, metric)
    if len(values) > 1:
        return statistics.stdev(values) / math.sqrt(len(values))
    return binomial_error(evaluation.metrics.get(metric, math.nan))


def binomial_error(share: float) -> float | None:
    """Return the standard error of a share that remembers its number of examples; None for another number."""
    n = share.provenance.facts.get(N_EXAMPLES) if isinstance(share, Measured) else None
    if not isinstance(n, int) or n < 1 or not 0 <= share <= 1:
        return None
    p = (share * n + 2) / (n + 4)
    return math.sqrt(p * (1 - p) / (n + 4))


def proven(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Return the evaluations that were trained repeatedly; all if none was."""
    found = list(evaluations)
    return [e for e in found if e.repeats] or found


def noise_among(ranked: Sequence[Evaluation], metric: str) -> float:
    """Return the standard error of the first of some candidates, the best; 0 if nothing is known of it.

    Where they were trained repeatedly, the variance within an architecture is that of all of them: a few trainings of
    one say little of it.
    """
    groups = [values for e in ranked if len(values := _repeated(e, metric)) > 1]
    best = ranked[0]
    n_best = len(_repeated(best, metric))
    if not groups or not n_best:
        return standard_error(best, metric) or 0.0
    squares = sum(statistics.variance(values) * (len(values) - 1) for values in groups)
    return math.sqrt(squares / sum(len(values) - 1 for values in groups) / n_best)


def _repeated(evaluation: Evaluation, metric: str) -> list[float]:
    return [metrics[metric] for metrics in evaluation.repeats if metric in metrics]
