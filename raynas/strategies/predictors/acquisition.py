"""Acquisition functions: turn a posterior into ranks of candidates."""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from raynas.core.architecture import Architecture
from raynas.core.goal import Goal
from raynas.strategies.predictors.constraint_predictors import ConstraintPredictors
from raynas.strategies.predictors.fitted_predictor import FittedPredictor
from raynas.strategies.predictors.predictor import Posterior
from raynas.strategies.predictors.targets import objective_targets

Array = NDArray[np.float64]
Acquisition = Literal["ucb", "ei", "thompson"]


def upper_confidence_bound(posterior: Posterior, best: float, exploration: float, rng: np.random.Generator) -> Array:
    """Return the mean plus ``exploration`` standard deviations (Srinivas et al., ICML 2010, arXiv:0912.3995)."""
    return posterior.mean + exploration * posterior.std


def expected_improvement(posterior: Posterior, best: float, exploration: float, rng: np.random.Generator) -> Array:
    """Return the expected improvement over ``best`` (Jones et al., 1998)."""
    z = (posterior.mean - best) / posterior.std
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return np.asarray(posterior.std * (z * ndtr(z) + density))


def thompson_sampling(posterior: Posterior, best: float, exploration: float, rng: np.random.Generator) -> Array:
    """Return one draw per candidate, independent of each other (BANANAS, section 4)."""
    return posterior.mean + posterior.std * rng.standard_normal(len(posterior.mean))


ACQUISITIONS: Mapping[str, Callable[[Posterior, float, float, np.random.Generator], Array]] = {
    "ei": expected_improvement,
    "thompson": thompson_sampling,
    "ucb": upper_confidence_bound,
}
"""Functions of a posterior, the best target observed, ``exploration`` and a generator."""


class Ranking:
    """Ranks candidates by an acquisition function, those that probably break a constraint after all others.

    Args:
        acquisition: a name in ``ACQUISITIONS``.
        exploration: of "ucb".
        rng: source of all randomness.
    """

    def __init__(self, acquisition: str, exploration: float, rng: np.random.Generator) -> None:
        self.acquisition, self.exploration, self.rng = acquisition, exploration, rng

    def __call__(
        self, goal: Goal, objective: FittedPredictor, constraints: ConstraintPredictors, pending: Iterable[Architecture]
    ) -> Array:
        """Rank the candidates of the pool of ``objective``, ``(n,)``; the most promising has the largest number."""
        targets = objective_targets(goal, objective.evaluations, self.rng)
        posterior = objective.posterior(targets, pending, self.rng)
        ranks = ACQUISITIONS[self.acquisition](posterior, float(targets.max()), self.exploration, self.rng)
        feasible_prob = constraints.feasible_prob(goal)
        if feasible_prob is not None:  # Deb's rule, by prediction
            prob = feasible_prob[objective.pool.rows]
            ranks = np.where(prob >= 0.5, ranks - ranks.min(), prob - 1.0)
        # Ties are broken by the order, not by the last bits of a sum.
        return np.round(ranks, 8)
