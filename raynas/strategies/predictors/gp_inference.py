"""Exact Gaussian process inference over a whole pool, for any kernel (Rasmussen and Williams, 2006, ch. 2).

Pending trials are accounted for as in GP-BUCB (Desautels et al., JMLR 2014).
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.conditioning import Conditioning
from raynas.strategies.predictors.predictor import Posterior, Predictor
from raynas.threads import one_blas_thread

Array = NDArray[np.float64]

NOISE_PRIOR = (np.log(0.1), 0.5)
"""Mean and standard deviation of the prior of the logarithm of the noise's standard deviation; targets have variance 1.
"""
MAX_FITTED = 150
"""The maximum number of observations, the latest, that hyperparameters are learned from; the posterior has them all."""


class GPPredictor(Predictor):
    """Keeps what observed and pending trials say of every candidate, so that a trial more costs one row.

    A subclass gives ``learn``, ``covariance``, ``variance`` and ``noise``. The variance that is left does not depend on
    results: a trial is conditioned on when it is first pending, and nothing is to be done for it when it ends.
    """

    def __init__(self) -> None:
        self._observed: list[int] = []
        self._given = Conditioning()

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
        with one_blas_thread():
            self.learn(pool, observed, targets)
            self._observed = list(observed)
            self._given.restart(len(pool))
            self._condition_on(pool, self._observed)

    def weights(self, targets: Array) -> Array:
        """Return K⁻¹ z: the posterior mean is the sum of covariances with the observed, weighted by these."""
        return np.asarray(cho_solve(self._factor(), targets))

    def unexplained(self, targets: Array) -> float:
        """Return the mean squared leave-one-out error over the variance (Rasmussen and Williams, section 5.4.2)."""
        inverse = cho_solve(self._factor(), np.eye(len(targets)))
        errors = inverse @ targets / np.diag(inverse)
        variance = float(targets.var())
        return min(1.0, float((errors**2).mean()) / variance) if variance else 1.0

    def extend(self, pool: CandidatePool, observed: Sequence[int]) -> None:
        with one_blas_thread():
            self._given.widen(self.covariance(pool, self._given.indices, since=len(self._given.explained)))

    def add(self, pool: CandidatePool, index: int) -> None:
        self._observed.append(index)

    def posterior(
        self, pool: CandidatePool, targets: Array, pending: Sequence[int], rng: np.random.Generator
    ) -> Posterior:
        with one_blas_thread():
            self._condition_on(pool, [*self._observed, *pending])
            results = self._with_expected(targets)
            mean = solve_triangular(self._given.lower, results, lower=True) @ self._given.rows
        variance = self.variance - self._given.explained
        return Posterior(mean, np.sqrt(np.maximum(variance, 1e-12)))

    def _condition_on(self, pool: CandidatePool, wanted: Sequence[int]) -> None:
        """Condition on candidates in any order: keep the rows until the first of another, and append those missing."""
        missing = Counter(wanted)
        for n_kept, index in enumerate(self._given.indices):
            if not missing[index]:
                self._given.keep(n_kept)
                break
            missing[index] -= 1
        new = list(missing.elements())
        if new:
            self._given.append(new, self.covariance(pool, new), self.noise)

    def _with_expected(self, targets: Array) -> Array:
        """Return a result of each candidate of ``_given``: that observed, or if pending the mean, which changes none.

        The "kriging believer" of Ginsbourger et al. (2010).
        """
        observed, results = self._positions(), np.zeros(len(self._given.indices))
        if len(observed) < len(results):
            results = self._given.covariances[:, observed] @ self.weights(targets)
        results[observed] = targets
        return results

    def _factor(self) -> tuple[Array, bool]:
        """Return the Cholesky factor of the covariances of the observed, in their order, noise included."""
        observed = self._positions()
        factor, is_lower = cho_factor(self._given.covariances[np.ix_(observed, observed)], lower=True)
        return factor, bool(is_lower)

    def _positions(self) -> NDArray[np.int64]:
        """Return the positions of the observed in ``_given``, ``(n_observed,)``."""
        places: dict[int, list[int]] = {}
        for position, index in enumerate(self._given.indices):
            places.setdefault(index, []).append(position)
        return np.array([places[index].pop(0) for index in self._observed], dtype=np.int64)
