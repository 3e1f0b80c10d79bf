"""A sum of Matérn 5/2 kernels, one per group of features, fitted by marginal likelihood times prior.

Rasmussen and Williams (2006), sections 4.2 and 5.4.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs
from scipy.optimize import minimize

Array = NDArray[np.float64]

Groups = Sequence[Array]
"""Features of n architectures, each group ``(n, n_features)``."""

JITTER = 1e-8
"""Least variance of an observation."""
PRIOR_REACH = 4.0
"""Bound of a hyperparameter, in standard deviations of its prior: a line search tries steps at which exponentials
overflow."""

_LENGTH_PRIOR = (np.log(1.5), 0.7)
"""Mean and standard deviation of the prior of a logarithmic length scale, in typical distances of the space."""
_WEIGHT_PRIOR = (0.0, 1.0)
_NOISE_PRIOR = (np.log(0.1), 1.0)
"""Of the logarithm of the noise's standard deviation; targets have variance 1. Wide: scores may be mostly noise."""

_BLOCK = 1 << 14
"""Number of covariances computed at a time: what they are made of stays in the cache."""


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
        pairs = Pairs(len(targets))
        squared = np.stack([pairs.of(squared_distances(group, group)) for group in groups])
        means, stds = _prior(len(groups))
        bounds = list(zip(means - PRIOR_REACH * stds, means + PRIOR_REACH * stds, strict=True))
        found = minimize(
            negative_log_posterior,
            start.theta,
            (squared, pairs, targets),
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
        n_first, n_second = len(first[0]), len(second[0])
        covariances, width = np.empty((n_first, n_second)), max(_BLOCK // max(n_first, 1), 1)
        groups = [(a, b, _squares(a)[:, None], _squares(b)) for a, b in zip(first, second, strict=True)]
        for start in range(0, n_second, width):
            part = slice(start, start + width)
            covariances[:, part] = self.at([_distances(a, b[part], of_a, of_b[part]) for a, b, of_a, of_b in groups])
        return covariances

    def at(self, squared: Sequence[Array]) -> Array:
        """Return the covariances at squared distances, a matrix of the same shape per group."""
        n_groups = len(squared)
        lengths, weights = np.exp(self.theta[:n_groups]), np.exp(self.theta[n_groups:-1])
        total = np.zeros_like(squared[0])
        for s, length, weight in zip(squared, lengths, weights, strict=True):
            part = _matern(s, length)[0]
            part *= weight
            total += part
        return total


class Pairs:
    """The pairs of n observations, each once, none with itself: the part of a symmetric matrix below its diagonal.

    Args:
        n: number of observations.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.first, self.second = np.tril_indices(n, -1)
        self._flat = self.first * n + self.second

    def of(self, matrix: Array) -> Array:
        """Return the entries of a matrix, ``(n, n)``, at the pairs."""
        return matrix.ravel().take(self._flat)

    def matrix(self, values: Array, diagonal: float) -> Array:
        """Return the matrix of values at the pairs and on the diagonal; zero above it."""
        matrix = np.zeros((self.n, self.n))
        matrix.reshape(-1)[self._flat] = values
        np.fill_diagonal(matrix, diagonal)
        return matrix


def typical_distance(group: Array) -> float:
    """Return the root mean square distance between two rows, 1 if all are equal."""
    return float(np.sqrt(2 * group.var(axis=0).sum())) or 1.0


def squared_distances(first: Array, second: Array) -> Array:
    """Return the squared Euclidean distances of rows, ``(n_first, n_second)``."""
    return _distances(first, second, _squares(first)[:, None], _squares(second))


def negative_log_posterior(theta: Array, squared: Array, pairs: Pairs, targets: Array) -> tuple[float, Array]:
    """Return the negative logarithm of marginal likelihood times prior, and its gradient.

    Args:
        theta: as of ``MaternKernel``.
        squared: squared distances of pairs of observations, ``(n_groups, n_pairs)``.
        pairs: of the observations.
        targets: ``(n,)``.

    Raises:
        numpy.linalg.LinAlgError: if the covariance is not positive definite.
    """
    n_groups = len(squared)
    weights, noise = np.exp(theta[n_groups:-1]), np.exp(2 * theta[-1])
    values, r, decay = _matern(squared, np.exp(theta[:n_groups])[:, None])
    covariance = pairs.matrix(weights @ values, weights.sum() + noise + JITTER)
    upper, failed = dpotrf(covariance.T, lower=0, overwrite_a=1)  # LAPACK wants columns: the transpose is no copy
    if failed:
        raise np.linalg.LinAlgError("the covariance of the observations is not positive definite")
    alpha = dpotrs(upper, targets)[0]
    inverse = dpotri(upper)[0].T
    outer = pairs.of(inverse) - alpha[pairs.first] * alpha[pairs.second]
    trace = float(np.trace(inverse) - alpha @ alpha)
    means, stds = _prior(n_groups)
    off = (theta - means) / stds
    value = 0.5 * targets @ alpha + np.log(np.diag(upper)).sum() + 0.5 * off @ off
    by_length = weights * (_slope(r, decay) @ outer)
    by_weight = weights * (values @ outer + 0.5 * trace)
    return float(value), np.concatenate((by_length, by_weight, [noise * trace])) + off / stds


def _matern(squared: Array, length: float | Array) -> tuple[Array, Array, Array]:
    """Return the Matérn 5/2 kernel, and r and exp(-r) that ``_slope`` needs."""
    r = squared * (5 / length**2)
    np.sqrt(r, out=r)
    decay = np.negative(r)
    np.exp(decay, out=decay)
    value = r * (1 / 3)
    value += 1
    value *= r
    value += 1
    value *= decay
    return value, r, decay


def _slope(r: Array, decay: Array) -> Array:
    """Return the derivative of the Matérn 5/2 kernel by the logarithm of the length scale."""
    return r * r / 3 * (1 + r) * decay


def _squares(rows: Array) -> Array:
    """Return the squared Euclidean lengths of rows, ``(n_rows,)``."""
    return np.asarray((rows**2).sum(1))


def _distances(first: Array, second: Array, of_first: Array, of_second: Array) -> Array:
    """Return the squared distances of rows of given squared lengths, ``(n_first, 1)`` and ``(n_second,)``."""
    cross: Array = first @ second.T
    cross *= -2
    cross += of_first
    cross += of_second
    return np.maximum(cross, 0, out=cross)


def _prior(n_groups: int) -> tuple[Array, Array]:
    """Return mean and standard deviation of each part of theta, independent normal distributions."""
    parts = zip(_LENGTH_PRIOR, _WEIGHT_PRIOR, _NOISE_PRIOR, strict=True)
    means, stds = (np.append(np.repeat([length, weight], n_groups), noise) for length, weight, noise in parts)
    return means, stds
