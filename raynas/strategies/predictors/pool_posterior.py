"""The posterior of a Gaussian process over a whole pool (Rasmussen and Williams, 2006, ch. 2), whatever its kernel."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from raynas.strategies.predictors.predictor_search import Belief, Pool, Predictor

Array = NDArray[np.float64]


class PoolPosterior(Predictor):
    """Keeps what is known of each in the pool: another observation costs one product with that.

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
        """What is unknown of a candidate that is like nothing observed."""

    @property
    @abstractmethod
    def noise(self) -> float:
        """Variance of an observation, positive."""

    @abstractmethod
    def learn(self, pool: Pool, observed: Sequence[int], targets: Array) -> None:
        """Choose the kernel, and the noise; arguments as of ``fit``."""

    @abstractmethod
    def covariance(self, pool: Pool, some: Sequence[int], since: int = 0) -> Array:
        """Of some of the pool with all from number ``since`` on, ``(n_some, n_pool - since)``."""

    def fit(self, pool: Pool, observed: Sequence[int], targets: Array, rng: np.random.Generator) -> None:
        self.learn(pool, observed, targets)
        across = self.covariance(pool, observed)
        self._lower = cholesky(across[:, observed] + self.noise * np.eye(len(observed)), lower=True)
        self._rows = solve_triangular(self._lower, across, lower=True)
        self._explained = (self._rows**2).sum(0)

    def extend(self, pool: Pool, observed: Sequence[int]) -> None:
        across = self.covariance(pool, observed, since=len(self._explained))
        rows = solve_triangular(self._lower, across, lower=True)
        self._rows = np.hstack((self._rows, rows))
        self._explained = np.append(self._explained, (rows**2).sum(0))

    def add(self, pool: Pool, index: int) -> None:
        lower, row = self._conditioned(pool, index, self._rows, self._explained)
        self._lower = np.vstack((np.pad(self._lower, ((0, 0), (0, 1))), lower))
        self._rows = np.vstack((self._rows, row))
        self._explained = self._explained + row**2

    def believe(self, pool: Pool, targets: Array, pending: Sequence[int], rng: np.random.Generator) -> Belief:
        mean = solve_triangular(self._lower, targets, lower=True) @ self._rows
        rows, explained = self._rows, self._explained
        for index in pending:  # as if it had the expected result: the mean stays, the doubt goes
            _, row = self._conditioned(pool, index, rows, explained)
            rows = np.vstack((rows, row))
            explained = explained + row**2
        return Belief(mean, np.sqrt(np.maximum(self.variance - explained, 1e-12)))

    def _conditioned(self, pool: Pool, index: int, rows: Array, explained: Array) -> tuple[Array, Array]:
        """The row that one more observation adds to L, and to V."""
        lower = rows[:, index]
        left = np.sqrt(self.variance + self.noise - min(explained[index], self.variance))
        row = (self.covariance(pool, [index])[0] - lower @ rows) / left
        return np.append(lower, left), row
