"""Importance of decisions: the part of a score's variance that a model cannot explain without the decision.

Permutation importance: Breiman, "Random Forests" (Machine Learning 45, 2001). Here a forest is fitted to four fifths of
the trials, and each decision is shuffled among the rest, which the forest has not seen; repeated for several divisions,
which gives the spread. A decision that is not active has columns of zeros, so unlike fANOVA this needs no space where
all decisions are active.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raynas.analysis.columns import Column, columns_of, row_of
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.space import SearchSpace

N_REFITS = 10
"""Number of divisions into trials to fit and trials to judge by."""

MIN_TRIALS, MIN_TRIALS_PER_DECISION = 20, 2
"""Numbers of trials below which nothing can be said."""

MAX_TRIALS = 1000
"""Maximum number of trials that are used; of more, a random part."""

MIN_EXPLAINED = 0.1
"""Share of the variance that the forest must explain in trials that it has not seen."""

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DecisionImportance:
    """Importance of a decision.

    Args:
        name: of the decision, or the hyperparameter.
        mean: share of the variance that is no longer explained once the decision is shuffled, over the refits; about 0
            for a decision without influence, and above 1 where the others depend on it.
        spread: standard deviation over the refits.
    """

    name: str
    mean: float
    spread: float


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Importance of all decisions for a metric.

    Args:
        metric: the metric.
        decisions: most important first; none where nothing can be said.
        n_trials: trials that the forests saw.
        n_refits: number of refits.
        explained: share of the variance that the forests explain in trials that they have not seen.
        reason: why nothing can be said, or what to beware of; "" if there is nothing.
    """

    metric: str
    decisions: tuple[DecisionImportance, ...] = ()
    n_trials: int = 0
    n_refits: int = 0
    explained: float = 0.0
    reason: str = ""


def importance(
    evaluations: Sequence[Evaluation],
    goal: Goal,
    space: SearchSpace | None = None,
    *,
    metric: str | None = None,
    seed: int = 0,
) -> Importance:
    """Estimate the importance of each decision and hyperparameter for a metric.

    Args:
        evaluations: of the search; those that finished count.
        goal: of the search.
        space: see ``columns_of``.
        metric: default the first objective.
        seed: of forests, divisions and shuffles.
    """
    metric = metric or goal.first.metric
    used = [e for e in evaluations if e.status == "finished" and metric in e.metrics]
    columns = columns_of(used, space)
    needed = max(MIN_TRIALS, MIN_TRIALS_PER_DECISION * len(columns))
    y = np.array([e.metrics[metric] for e in used])
    if len(used) < needed or not np.ptp(y):
        why = f"{needed} are needed" if len(used) < needed else f"all have the same {metric}"
        return Importance(metric=metric, n_trials=len(used), reason=f"{len(used)} trials are too few to say: {why}")
    rng = np.random.default_rng(seed)
    if len(used) > MAX_TRIALS:
        kept = rng.choice(len(used), MAX_TRIALS, replace=False)
        used, y = [used[i] for i in kept], y[kept]
    rows = [row_of(e) for e in used]
    groups = [np.array([_encoded(column, row.get(column.name, _INACTIVE)) for row in rows]) for column in columns]
    refits = [_refit(groups, y, rng) for _ in range(N_REFITS)]
    explained = float(np.mean([score for score, _ in refits]))
    losses = np.array([loss for _, loss in refits])
    found = [
        DecisionImportance(name=column.name, mean=float(loss.mean()), spread=float(loss.std()))
        for column, loss in zip(columns, losses.T, strict=True)
    ]
    reason = ""
    if explained < MIN_EXPLAINED:
        reason = (
            f"{len(used)} trials are too few to say, or their {metric} is mostly noise: the model explains "
            f"{max(explained, 0):.0%} of its variance in trials that it has not seen"
        )
    return Importance(
        metric=metric,
        decisions=tuple(sorted(found, key=lambda d: -d.mean)),
        n_trials=len(used),
        n_refits=N_REFITS,
        explained=explained,
        reason=reason,
    )


_INACTIVE = object()


def _encoded(column: Column, value: object) -> Array:
    """Encode one-hot; a number of a range as its position, -1 where it is not active."""
    if column.options:
        return np.array([float(value == option) for option in column.options])
    if not isinstance(value, int | float):
        return np.array([-1.0])
    low, high, at = (math.log(v) if column.log else v for v in (column.low, column.high, float(value)))
    return np.array([(at - low) / (high - low)])


def _refit(groups: Sequence[Array], y: Array, rng: np.random.Generator) -> tuple[float, Array]:
    """Return the share of the variance that a forest explains in unseen trials, and the loss of it by decision."""
    from sklearn.ensemble import RandomForestRegressor  # its import takes a second

    order = rng.permutation(len(y))
    judged, fitted = np.split(order, [max(len(y) // 5, 4)])
    forest = RandomForestRegressor(n_estimators=50, max_features=1 / 3, random_state=int(rng.integers(2**31)))
    forest.fit(np.hstack(groups)[fitted], y[fitted])
    shown = [group[judged] for group in groups]
    shuffled = [
        np.hstack([rng.permutation(part) if i == j else part for i, part in enumerate(shown)])
        for j in range(len(groups))
    ]
    predicted = forest.predict(np.vstack([np.hstack(shown), *shuffled])).reshape(len(groups) + 1, -1)
    errors = ((predicted - y[judged]) ** 2).mean(axis=1) / y.var()
    return float(1 - errors[0]), errors[1:] - errors[0]
