"""Bayesian optimisation with a Gaussian process over what a cell computes.

Its upper confidence bound is that of Srinivas et al. (ICML 2010, arXiv:0912.3995), pending trials are accounted for as
in Desautels et al. (JMLR 2014, GP-BUCB), several objectives are drawn into one at random (Knowles 2006, ParEGO). The
kernel is a sum over groups of features (the decisions, the operation paths of a cell), each with a length scale and a
weight of its own, learned by marginal likelihood.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize

from raynas.strategies.predictors.pool_posterior import PoolPosterior
from raynas.strategies.predictors.predictor_search import Groups, Pool
from raynas.strategies.predictors.predictor_strategy import PredictorStrategy

Array = NDArray[np.float64]

_JITTER = 1e-8
_LENGTH = (np.log(1.5), 0.7)
"""Mean and standard deviation of the prior of a logarithmic length scale, in typical distances of the space."""
_WEIGHT = (0.0, 1.0)
_NOISE = (np.log(0.1), 0.5)
_REACH = 4.0
"""How many standard deviations of its prior a hyperparameter may be off the mean."""
_MAX_FITTED = 150
"""How many observations the hyperparameters are learned from, the last ones; the posterior takes more."""


@dataclass(frozen=True, kw_only=True)
class GaussianProcess(PredictorStrategy):
    """A Gaussian process predicts every candidate; the most promising goes next. For budgets up to some hundred trials.

    It sees all features of the space: what is not equally far apart, such as depths, numbers of each operation, and
    paths, is what it generalises by.
    """

    n_initial: int = 5
    acquisition: Literal["ucb", "ei", "thompson"] = "ucb"
    exploration: float = 2.0

    def make_predictor(self) -> "GaussianProcessPredictor":
        return GaussianProcessPredictor()


class Kernel:
    """A sum of Matérn 5/2 kernels, one per group of features, and noise.

    Args:
        theta: logarithms: a length scale per group, a weight per group, the standard deviation of the noise;
            ``(2 * n_groups + 1,)``.
    """

    def __init__(self, theta: Array) -> None:
        self.theta = theta

    @classmethod
    def prior(cls, n_groups: int) -> "Kernel":
        """The kernel before anything was observed."""
        return cls(_prior(n_groups)[0])

    @property
    def noise(self) -> float:
        """Variance of an observation."""
        return float(np.exp(2 * self.theta[-1])) + _JITTER

    @property
    def variance(self) -> float:
        """What is unknown of a candidate that is like nothing observed."""
        return float(np.exp(self.theta[len(self.theta) // 2 : -1]).sum())

    def __call__(self, first: Groups, second: Groups) -> Array:
        """The covariances, ``(n_first, n_second)``."""
        return self.at([_squared_distances(a, b) for a, b in zip(first, second, strict=True)])

    def at(self, squared: Sequence[Array]) -> Array:
        """The covariances at squared distances, of each group a matrix of the same shape."""
        n_groups = len(squared)
        lengths, weights = np.exp(self.theta[:n_groups]), np.exp(self.theta[n_groups:-1])
        parts = zip(squared, lengths, weights, strict=True)
        return np.asarray(sum(w * _matern(s, length)[0] for s, length, w in parts))

    @classmethod
    def fitted(cls, groups: Groups, targets: Array, start: "Kernel", max_iterations: int = 20) -> "Kernel":
        """The most probable kernel given observations, found from ``start`` on."""
        squared = [_squared_distances(group, group) for group in groups]
        means, spreads = _prior(len(groups))
        reach = _REACH * spreads  # a line search tries steps at which exponentials overflow
        found = minimize(
            _loss,
            start.theta,
            (squared, targets),
            "L-BFGS-B",
            jac=True,
            bounds=list(zip(means - reach, means + reach, strict=True)),
            options={"maxiter": max_iterations},
        )
        return cls(np.asarray(found.x))


def _squared_distances(first: Array, second: Array) -> Array:
    cross: Array = first @ second.T
    return np.asarray(np.maximum((first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * cross, 0))


def _matern(squared: Array, length: float) -> tuple[Array, Array]:
    """The kernel of Matérn 5/2, and its derivative by the logarithm of the length scale."""
    r = np.sqrt(5 * squared) / length
    decay = np.exp(-r)
    third = r * r / 3
    return (1 + r + third) * decay, third * (1 + r) * decay


def _loss(theta: Array, squared: Sequence[Array], targets: Array) -> tuple[float, Array]:
    """Negative logarithm of marginal likelihood times prior, and its gradient."""
    n_groups, n = len(squared), len(targets)
    weights, noise = np.exp(theta[n_groups:-1]), np.exp(2 * theta[-1])
    parts = [_matern(s, length) for s, length in zip(squared, np.exp(theta[:n_groups]), strict=True)]
    covariance = sum(w * k for w, (k, _) in zip(weights, parts, strict=True)) + (noise + _JITTER) * np.eye(n)
    lower = cholesky(covariance, lower=True)
    inverse = cho_solve((lower, True), np.eye(n))
    alpha = inverse @ targets
    outer = inverse - np.outer(alpha, alpha)
    means, spreads = _prior(n_groups)
    off = (theta - means) / spreads
    value = 0.5 * targets @ alpha + np.log(np.diag(lower)).sum() + 0.5 * off @ off
    slopes = [0.5 * w * (outer * d).sum() for w, (_, d) in zip(weights, parts, strict=True)]
    slopes += [0.5 * w * (outer * k).sum() for w, (k, _) in zip(weights, parts, strict=True)]
    slopes.append(noise * np.trace(outer))
    return float(value), np.array(slopes) + off / spreads


def _prior(n_groups: int) -> tuple[Array, Array]:
    """Mean and standard deviation of each part of theta, independent normal distributions."""
    means, spreads = (np.append(np.repeat([_LENGTH[i], _WEIGHT[i]], n_groups), _NOISE[i]) for i in range(2))
    return means, spreads


class GaussianProcessPredictor(PoolPosterior):
    """The Gaussian process on groups of features."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel: Kernel | None = None

    @property
    def noise(self) -> float:
        assert self.kernel is not None
        return self.kernel.noise

    @property
    def variance(self) -> float:
        assert self.kernel is not None
        return self.kernel.variance

    def learn(self, pool: Pool, observed: Sequence[int], targets: Array) -> None:
        kernel = self.kernel or Kernel.prior(len(pool.groups))
        last = np.asarray(observed[-_MAX_FITTED:])
        self.kernel = Kernel.fitted(pool.take(last), targets[-_MAX_FITTED:], kernel)

    def covariance(self, pool: Pool, some: Sequence[int], since: int = 0) -> Array:
        assert self.kernel is not None
        return self.kernel(pool.take(np.asarray(some)), [group[since:] for group in pool.groups])
