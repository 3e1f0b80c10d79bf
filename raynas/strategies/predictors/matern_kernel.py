"""A sum of Matérn 5/2 kernels, one per group of features, fitted by marginal likelihood times prior.

Rasmussen and Williams (2006), sections 4.2 and 5.4.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize

from raynas.strategies.predictors.candidate_pool import Groups
from raynas.strategies.predictors.gp_inference import JITTER, PRIOR_REACH

Array = NDArray[np.float64]

_LENGTH_PRIOR = (np.log(1.5), 0.7)
"""Mean and standard deviation of the prior of a logarithmic length scale, in typical distances of the space."""
_WEIGHT_PRIOR = (0.0, 1.0)
_NOISE_PRIOR = (np.log(0.1), 1.0)
"""As ``gp_inference.NOISE_PRIOR``, but wide: scores may be mostly noise, which the sum of kernels must not learn."""


class MaternKernel:
    """A sum of Matérn 5/2 kernels, one per group of features, and noise.

    Args:
        theta: logarithms: a length scale per group, a weight per group, the standard deviation of the noise;
            ``(2 * n_groups + 1,)``.
    """

    def __init__(self, theta: Array) -> None:
        self.theta = theta

    @classmethod
    def prior(cls, n_groups: int) -> "MaternKernel":
        """Return the kernel at the mean of the prior."""
        return cls(_prior(n_groups)[0])

    @classmethod
    def fitted(cls, groups: Groups, targets: Array, start: "MaternKernel", max_iterations: int = 20) -> "MaternKernel":
        """Return the most probable kernel given observations, by L-BFGS-B from ``start``."""
        squared = [squared_distances(group, group) for group in groups]
        means, stds = _prior(len(groups))
        bounds = list(zip(means - PRIOR_REACH * stds, means + PRIOR_REACH * stds, strict=True))
        found = minimize(
            negative_log_posterior,
            start.theta,
            (squared, targets),
            "L-BFGS-B",
            jac=True,
            bounds=bounds,
            options={"maxiter": max_iterations},
        )
        return cls(np.asarray(found.x))

    @property
    def noise(self) -> float:
        """Variance of an observation."""
        return float(np.exp(2 * self.theta[-1])) + JITTER

    @property
    def variance(self) -> float:
        """Prior variance of a candidate."""
        return float(np.exp(self.theta[len(self.theta) // 2 : -1]).sum())

    def __call__(self, first: Groups, second: Groups) -> Array:
        """Return the covariances, ``(n_first, n_second)``."""
        return self.at([squared_distances(a, b) for a, b in zip(first, second, strict=True)])

    def at(self, squared: Sequence[Array]) -> Array:
        """Return the covariances at squared distances, a matrix of the same shape per group."""
        n_groups = len(squared)
        lengths, weights = np.exp(self.theta[:n_groups]), np.exp(self.theta[n_groups:-1])
        parts = zip(squared, lengths, weights, strict=True)
        return np.asarray(sum(w * _matern(s, length)[0] for s, length, w in parts))


def squared_distances(first: Array, second: Array) -> Array:
    """Return the squared Euclidean distances of rows, ``(n_first, n_second)``."""
    cross: Array = first @ second.T
    return np.asarray(np.maximum((first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * cross, 0))


def negative_log_posterior(theta: Array, squared: Sequence[Array], targets: Array) -> tuple[float, Array]:
    """Return the negative logarithm of marginal likelihood times prior, and its gradient.

    Args:
        theta: as of ``MaternKernel``.
        squared: squared distances of the n observations, ``(n, n)`` per group.
        targets: ``(n,)``.
    """
    n_groups, n = len(squared), len(targets)
    weights, noise = np.exp(theta[n_groups:-1]), np.exp(2 * theta[-1])
    parts = [_matern(s, length) for s, length in zip(squared, np.exp(theta[:n_groups]), strict=True)]
    covariance = sum(w * k for w, (k, _) in zip(weights, parts, strict=True)) + (noise + JITTER) * np.eye(n)
    lower = cholesky(covariance, lower=True)
    inverse = cho_solve((lower, True), np.eye(n))
    alpha = inverse @ targets
    outer = inverse - np.outer(alpha, alpha)
    means, stds = _prior(n_groups)
    off = (theta - means) / stds
    value = 0.5 * targets @ alpha + np.log(np.diag(lower)).sum() + 0.5 * off @ off
    slopes = [0.5 * w * (outer * d).sum() for w, (_, d) in zip(weights, parts, strict=True)]
    slopes += [0.5 * w * (outer * k).sum() for w, (k, _) in zip(weights, parts, strict=True)]
    slopes.append(noise * np.trace(outer))
    return float(value), np.array(slopes) + off / stds


def _matern(squared: Array, length: float) -> tuple[Array, Array]:
    """Return the Matérn 5/2 kernel and its derivative by the logarithm of the length scale."""
    r = np.sqrt(5 * squared) / length
    decay = np.exp(-r)
    third = r * r / 3
    return (1 + r + third) * decay, third * (1 + r) * decay


def _prior(n_groups: int) -> tuple[Array, Array]:
    """Return mean and standard deviation of each part of theta, independent normal distributions."""
    parts = zip(_LENGTH_PRIOR, _WEIGHT_PRIOR, _NOISE_PRIOR, strict=True)
    means, stds = (np.append(np.repeat([length, weight], n_groups), noise) for length, weight, noise in parts)
    return means, stds
