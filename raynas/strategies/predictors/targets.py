"""Targets of predictors: log regrets and margins of constraints; the evaluations to learn from."""

from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture
from raynas.core.constraint import Constraint
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal

Array = NDArray[np.float64]


def objective_targets(goal: Goal, evaluations: Sequence[Evaluation], rng: np.random.Generator) -> Array:
    """Return targets with mean 0 and variance 1, stretched towards the best, ``(n,)``.

    Several objectives are weighted at random (augmented Chebyshev; Knowles 2006, ParEGO).
    """
    scores = np.array([goal.scores(e) for e in evaluations])
    regrets = scores.max(axis=0) - scores
    if scores.shape[1] == 1:
        return log_regret(regrets[:, 0])
    regrets = regrets / np.maximum(regrets.max(axis=0), 1e-12)
    weighted = regrets * rng.dirichlet(np.ones(scores.shape[1]))
    return log_regret(weighted.max(axis=1) + 0.05 * weighted.sum(axis=1))


def log_regret(regrets: Array) -> Array:
    """Return the negative log regret in units of the median regret, standardised.

    The logarithm compresses differences between bad architectures.
    """
    positive = regrets[regrets > 0]
    unit = float(np.median(positive)) if len(positive) else 1.0
    targets = -np.log1p(regrets / unit)
    return np.asarray((targets - targets.mean()) / (targets.std() or 1.0))


def constraint_margins(constraint: Constraint, evaluations: Sequence[Evaluation]) -> tuple[Array, float]:
    """Return the standardised margins by which evaluations meet a constraint, ``(n,)``, and the margin of the limit."""
    values = np.array([e.metrics[constraint.metric] for e in evaluations])
    limit = constraint.limit
    if limit > 0 and (values > 0).all():  # costs differ by factors
        values, limit = np.log(values), float(np.log(limit))
    margins = (limit - values) * (1 if constraint.is_upper else -1)
    std = float(margins.std()) or 1.0
    return (margins - margins.mean()) / std, -float(margins.mean()) / std


def best_and_latest(evaluations: Sequence[Evaluation], best: Sequence[Architecture], n_max: int) -> list[Evaluation]:
    """Return at most n_max evaluations in their order: half of them the best, the others the latest.

    Args:
        evaluations: oldest first.
        best: architectures, best first; without any, only the latest are kept.
        n_max: the maximum number.
    """
    if len(evaluations) <= n_max:
        return list(evaluations)
    good = set(best[: n_max // 2])
    latest = islice((e for e in reversed(evaluations) if e.arch not in good), n_max - len(good))
    kept = good.union(e.arch for e in latest)
    return [e for e in evaluations if e.arch in kept]
