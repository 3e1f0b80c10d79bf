"""Exact Gaussian process inference over a whole pool, for any kernel (Rasmussen and Williams, 2006, ch. 2).

Pending trials are accounted for as in GP-BUCB (Desautels et al., JMLR 2014).
"""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular

from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.predictor import Posterior, Predictor

Array = NDArray[np.float64]

JITTER = 1e-8
"""Least variance of an observation."""
NOISE_PRIOR = (np.log(0.1), 0.5)
"""Mean and standard deviation of the prior of the logarithm of the noise's standard deviation; targets have variance 1.
"""
PRIOR_REACH = 4.0
"""Bound of a hyperparameter, in standard deviations of its prior: a line search tries steps at which exponentials
overflow."""
MAX_FITTED = 150
"""The maximum number of observations, the latest, that hyperparameters are learned from; the posterior has them all."""


class GPPredictor(Predictor):
    """Keeps the posterior of every candidate, so that another observation costs one product of a vector and a matrix.

    A subclass gives ``learn``, ``covariance``, ``variance`` and ``noise``. With K = L Lᵀ of the observed and
    V = L⁻¹ K(observed, pool), the posterior mean is Vᵀ L⁻¹ z and the variance is that of the kernel less the column
    sums of V².
    """

    def __init__(self) -> None:
        self._rows = np.zeros((0, 0))
        self._lower = np.zeros((0, 0))
        self._explained = np.zeros(0)

    @property
    @abstractmethod
    def variance(self) -> float:
        """Prior variance of a candidate."""

    @property
    @abstractmethod
    def noise(self) -> float:
        """Variance of an observation, positive."""

    @abstractmethod
    def learn(self, pool: CandidatePool, observed: Sequence[int], targets: Array) -> None:
        """Choose the kernel and the noise; arguments as of ``fit``."""

    @abstractmethod
    def covariance(self, pool: CandidatePool, some: Sequence[int], since: int = 0) -> Array:
        """Return the covariances of some candidates with all from index ``since``, ``(n_some, n_pool - since)``."""

    def fit(self, pool: CandidatePool, observed: Sequence[int], targets: Array, rng: np.random.Generator) -> None:
        self.learn(pool, observed, targets)
        across = self.covariance(pool, observed)
        self._lower = cholesky(across[:, observed] + self.noise * np.eye(len(observed)), lower=True)
        self._rows = solve_triangular(self._lower, across, lower=True)
        self._explained = (self._rows**2).sum(0)

    def unexplained(self, targets: Array) -> float:
        """Return the mean squared leave-one-out error over the variance (Rasmussen and Williams, section 5.4.2)."""
        inverse = cho_solve((self._lower, True), np.eye(len(targets)))
        errors = inverse @ targets / np.diag(inverse)
        variance = float(targets.var())
        return min(1.0, float((errors**2).mean()) / variance) if variance else 1.0

    def extend(self, pool: CandidatePool, observed: Sequence[int]) -> None:
        across = self.covariance(pool, observed, since=len(self._explained))
        rows = solve_triangular(self._lower, across, lower=True)
        self._rows = np.hstack((self._rows, rows))
        self._explained = np.append(self._explained, (rows**2).sum(0))

    def add(self, pool: CandidatePool, index: int) -> None:
        lower, row = self._conditioned(pool, index, self._rows, self._explained)
        self._lower = np.vstack((np.pad(self._lower, ((0, 0), (0, 1))), lower))
        self._rows = np.vstack((self._rows, row))
        self._explained = self._explained + row**2

    def posterior(
        self, pool: CandidatePool, targets: Array, pending: Sequence[int], rng: np.random.Generator
    ) -> Posterior:
        mean = solve_triangular(self._lower, targets, lower=True) @ self._rows
        variance = self.variance - self._explained - self._explained_by(pool, pending)
        return Posterior(mean, np.sqrt(np.maximum(variance, 1e-12)))

    def _explained_by(self, pool: CandidatePool, pending: Sequence[int]) -> Array:
        """Return the variance that results of pending candidates would explain, whatever they are, ``(n_pool,)``."""
        if not pending:
            return np.zeros_like(self._explained)
        across = self.covariance(pool, pending) - self._rows[:, pending].T @ self._rows
        lower = cholesky(across[:, pending] + self.noise * np.eye(len(pending)), lower=True)
        rows = solve_triangular(lower, across, lower=True)
        return np.asarray((rows**2).sum(0))

    def _conditioned(self, pool: CandidatePool, index: int, rows: Array, explained: Array) -> tuple[Array, Array]:
        """Return the row that one more observation adds to L, and to V."""
        lower = rows[:, index]
        left = np.sqrt(self.variance + self.noise - min(explained[index], self.variance))
        row = (self.covariance(pool, [index])[0] - lower @ rows) / left
        return np.append(lower, left), row
