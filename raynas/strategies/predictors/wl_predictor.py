"""The Gaussian process of NAS-BOWL, whose derivatives are the effects of motifs.

Ru, Wan, Dong and Osborne (ICLR 2021, arXiv:2006.07556), section 3. Deviation: noise and scale of the kernel have a
prior.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.optimize import minimize
from scipy.sparse import csr_array

from raynas.regression.matern_kernel import JITTER, PRIOR_REACH
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.gp_inference import MAX_FITTED, NOISE_PRIOR
from raynas.strategies.predictors.graph_kernels import GraphKernelPredictor, normalised, products, row_lengths

Array = NDArray[np.float64]

_SCALE_PRIOR = (0.0, 2.0)
"""Mean and standard deviation of the prior of the logarithm of the kernel's variance; targets have variance 1."""


@dataclass(frozen=True)
class Motif:
    """A pattern of operations and its effect.

    Args:
        text: the pattern: operations before an operation, the operation, operations after it.
        height: number of steps around the operation that it covers.
        effect: change of the prediction by one more occurrence, in standard deviations of the observed scores, the mean
            over the observed architectures that have the pattern.
        n_observed: number of these architectures.
    """

    text: str
    height: int
    effect: float
    n_observed: int


class WeisfeilerLehmanPredictor(GraphKernelPredictor):
    """The Gaussian process of the paper: a covariance is the normalised kernel of two graphs times ``variance``.

    Args:
        max_height: see ``NASBOWL``.
        assignment: the optimal assignment kernel instead of that of subtrees.
    """

    def __init__(self, max_height: int = 3, assignment: bool = True) -> None:
        super().__init__(max_height, assignment)
        self.height = max_height
        self._fit = KernelFit(float(np.exp(_SCALE_PRIOR[0])), float(np.exp(2 * NOISE_PRIOR[0])), np.inf)
        self._columns = np.zeros(0, dtype=np.int64)
        self._raw = self._unit = csr_array((0, 0))

    @property
    def variance(self) -> float:
        return self._fit.scale

    @property
    def noise(self) -> float:
        return self._fit.noise

    def learn(self, pool: CandidatePool, observed: Sequence[int], targets: Array) -> None:
        rows = self.rows(pool)
        last = rows[np.asarray(observed[-MAX_FITTED:])]
        heights = np.asarray(self.embedding.heights)
        fits = []
        for height in range(self.embedding.max_height + 1):
            unit = normalised(last[:, heights <= height])
            fits.append(fitted_kernel((unit @ unit.T).toarray(), targets[-MAX_FITTED:]))
        self.height = min(range(len(fits)), key=lambda height: fits[height].loss)
        self._fit = fits[self.height]
        self.embed(rows)

    def embed(self, rows: csr_array) -> None:
        self._columns = np.flatnonzero(np.asarray(self.embedding.heights) <= self.height)
        self._raw = rows[:, self._columns]
        self._unit = normalised(self._raw)

    def covariance(self, pool: CandidatePool, some: Sequence[int], since: int = 0) -> Array:
        return self.variance * products(self._unit[np.asarray(some)], self._unit[since:])

    def motifs(self, observed: Sequence[int], targets: Array) -> list[Motif]:
        """Return the effects that the last ``fit``, to these arguments, found, the most helpful pattern first."""
        rows = self._raw[np.asarray(observed)]
        unit = normalised(rows)
        solved = self.weights(targets)
        weights = self.variance * (unit.T @ solved)
        predicted, lengths = unit @ weights, row_lengths(rows)
        # The derivative of (row · weights) / |row| by each entry of a row that is not 0.
        of_row, columns = np.repeat(np.arange(len(lengths)), np.diff(unit.indptr)), unit.indices
        slopes = (weights[columns] - unit.data * predicted[of_row]) / lengths[of_row]
        numbers = np.asarray(self.embedding.pattern_of)[self._columns][columns]
        effects = np.bincount(numbers, slopes) / np.maximum(np.bincount(numbers), 1)
        patterns = self.embedding.patterns
        n_observed = Counter(int(number) for _, number in set(zip(of_row.tolist(), numbers.tolist(), strict=True)))
        found = [Motif(patterns.text(i), patterns.height(i), float(effects[i]), n) for i, n in n_observed.items()]
        return sorted(found, key=lambda motif: (-motif.effect, motif.text))


@dataclass(frozen=True)
class KernelFit:
    """The most probable variances of kernel and noise, and their negative log posterior."""

    scale: float
    noise: float
    loss: float


def fitted_kernel(gram: Array, targets: Array) -> KernelFit:
    """Fit the variances; the likelihood depends on the kernel by its eigenvalues alone."""
    values, vectors = eigh(gram)
    means, stds = np.array([_SCALE_PRIOR, NOISE_PRIOR]).T
    bounds = list(zip(means - PRIOR_REACH * stds, means + PRIOR_REACH * stds, strict=True))
    given = (np.maximum(values, 0), (vectors.T @ targets) ** 2)
    found = minimize(negative_log_posterior, means, given, "L-BFGS-B", jac=True, bounds=bounds)
    return KernelFit(float(np.exp(found.x[0])), float(np.exp(2 * found.x[1])) + JITTER, float(found.fun))


def negative_log_posterior(theta: Array, values: Array, squares: Array) -> tuple[float, Array]:
    """Return the negative logarithm of marginal likelihood times prior, and its gradient.

    Args:
        theta: logarithms of the kernel's variance and of the standard deviation of the noise.
        values: the eigenvalues of the kernel.
        squares: of the targets' components along the eigenvectors.
    """
    means, stds = np.array([_SCALE_PRIOR, NOISE_PRIOR]).T
    explained, noise = np.exp(theta[0]) * values, np.exp(2 * theta[1])
    total = explained + noise + JITTER
    off = (theta - means) / stds
    slope = 0.5 * (1 / total - squares / total**2)
    gradient = np.array([slope @ explained, 2 * noise * slope.sum()]) + off / stds
    return 0.5 * float((squares / total + np.log(total)).sum() + off @ off), gradient
