"""Zero-cost ranks as the prior mean of a predictor."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.predictor import Posterior, Predictor

Array = NDArray[np.float64]

_RIDGE = 5.0
"""Strength of the ridge penalty on the weights, in observations."""


class PriorMean(Predictor):
    """Predicts by ridge regression on zero-cost ranks, and lets another predictor learn the residuals.

    Args:
        residual: learns the residuals, standardised.
    """

    def __init__(self, residual: Predictor) -> None:
        self.residual = residual
        self._observed: list[int] = []

    def fit(self, pool: CandidatePool, observed: Sequence[int], targets: Array, rng: np.random.Generator) -> None:
        self._observed = list(observed)
        mean, std = self._prior(pool, targets)
        self.residual.fit(pool, observed, (targets - mean[self._observed]) / std, rng)

    def add(self, pool: CandidatePool, index: int) -> None:
        self._observed.append(index)
        self.residual.add(pool, index)

    def posterior(
        self, pool: CandidatePool, targets: Array, pending: Sequence[int], rng: np.random.Generator
    ) -> Posterior:
        mean, std = self._prior(pool, targets)
        posterior = self.residual.posterior(pool, (targets - mean[self._observed]) / std, pending, rng)
        return Posterior(posterior.mean * std + mean, posterior.std * std)

    def _prior(self, pool: CandidatePool, targets: Array) -> tuple[Array, float]:
        """Return the prior mean of every candidate, ``(n,)``, and the standard deviation of the residuals."""
        centred = pool.zero_cost - pool.zero_cost[self._observed].mean(axis=0)
        seen = centred[self._observed]
        weights = np.linalg.solve(seen.T @ seen + _RIDGE * np.eye(centred.shape[1]), seen.T @ targets)
        mean = centred @ weights
        return mean, float((targets - mean[self._observed]).std()) or 1.0
