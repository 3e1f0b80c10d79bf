"""Predictors of hard constraints on metrics that only a trial can tell."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.fitted_predictor import FittedPredictor
from raynas.strategies.predictors.predictor import Predictor
from raynas.strategies.predictors.targets import best_and_latest, constraint_margins


class ConstraintPredictors:
    """One predictor per constrained metric, fitted as soon as two evaluations report the metric.

    Args:
        predictor: makes a fresh predictor.
        max_observations: the maximum number of evaluations that each learns from, the latest.
        rng: source of all randomness.
    """

    def __init__(self, predictor: Callable[[], Predictor], *, max_observations: int, rng: np.random.Generator) -> None:
        self.make_predictor, self.max_observations, self.rng = predictor, max_observations, rng
        self.fitted: dict[str, FittedPredictor] = {}

    def fit(self, pool: CandidatePool, goal: Goal, evaluations: Sequence[Evaluation]) -> None:
        """Fit a predictor per hard constraint; relative constraints are left out until the baseline resolves them."""
        for constraint in goal.hard:
            reported = [e for e in evaluations if not constraint.relative and constraint.metric in e.metrics]
            if len(reported) >= 2:
                if constraint.metric not in self.fitted:
                    self.fitted[constraint.metric] = FittedPredictor(self.make_predictor())
                kept = best_and_latest(reported, [], self.max_observations)
                self.fitted[constraint.metric].fit(pool, kept, constraint_margins(constraint, kept)[0], self.rng)

    def add(self, goal: Goal, evaluation: Evaluation) -> None:
        """Condition the predictors on an evaluation, failed or not, that reports their metrics."""
        for constraint in goal.hard:
            if constraint.metric in self.fitted and constraint.metric in evaluation.metrics:
                self.fitted[constraint.metric].add(evaluation)

    def extend(self) -> None:
        """Account for candidates that joined the pool."""
        for fitted in self.fitted.values():
            fitted.extend()

    def feasible_prob(self, goal: Goal) -> NDArray[np.float64] | None:
        """Return the probability that each candidate meets all hard constraints, ``(n,)``; None without predictors."""
        prob: NDArray[np.float64] | None = None
        for constraint in goal.hard:
            fitted = self.fitted.get(constraint.metric)
            if fitted is not None and not constraint.relative:
                targets, limit = constraint_margins(constraint, fitted.evaluations)
                posterior = fitted.posterior(targets, [], self.rng)
                meets: NDArray[np.float64] = ndtr((posterior.mean - limit) / posterior.std)
                prob = meets if prob is None else prob * meets
        return prob
