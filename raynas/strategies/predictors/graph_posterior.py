"""Gaussian processes on graphs of operations, whose covariances are Weisfeiler-Lehman kernels.

Ru, Wan, Dong and Osborne (ICLR 2021, arXiv:2006.07556), section 3.
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, eigh
from scipy.optimize import minimize
from scipy.sparse import csr_array

from raynas.core.architecture import Architecture
from raynas.strategies.predictors.gaussian_process import Kernel
from raynas.strategies.predictors.pool_posterior import PoolPosterior
from raynas.strategies.predictors.predictor_search import Pool
from raynas.strategies.predictors.weisfeiler_lehman import Embedding, Entries

Array = NDArray[np.float64]

_SCALE = (0.0, 2.0)
"""Mean and standard deviation of the prior of the logarithm of the kernel's variance; targets have variance 1."""
_NOISE = (np.log(0.1), 0.5)
_REACH = 4.0
"""How many standard deviations off its mean either may be: a line search tries steps at which exponentials overflow."""
_JITTER = 1e-8
_MAX_FITTED = 150
"""How many observations the hyperparameters are learned from, the last ones; the posterior takes more."""
_MAX_PATTERNS = 300_000
"""How many patterns are known before those of earlier candidates are forgotten."""


@dataclass(frozen=True)
class Motif:
    """A pattern of operations and what it does.

    Args:
        text: the pattern: what comes before an operation, the operation, what follows.
        height: how many steps around the operation it covers.
        effect: by how much one more of it raises the prediction, in standard deviations of what was observed, in the
            mean over the observed architectures that have it.
        n_observed: how many these are.
    """

    text: str
    height: int
    effect: float
    n_observed: int


class GraphPosterior(PoolPosterior):
    """What the kernels share: the patterns of the graphs of a pool.

    Args:
        max_height: see ``NASBOWL``.
        assignment: see ``Embedding``.
    """

    def __init__(self, max_height: int, assignment: bool) -> None:
        super().__init__()
        self.embedding = Embedding(max_height, assignment)
        self._pool: Pool | None = None
        self._entries: list[Entries] = []

    @abstractmethod
    def embed(self, rows: csr_array) -> None:
        """Keep of the patterns, ``(n_pool, n_columns)``, what covariances are made of."""

    def extend(self, pool: Pool, observed: Sequence[int]) -> None:
        self.embed(self.rows(pool))
        super().extend(pool, observed)

    def rows(self, pool: Pool) -> csr_array:
        """The patterns of all in the pool; those of others are forgotten."""
        known: dict[Architecture, Entries] = {}
        if pool is not self._pool:
            if len(self.embedding.patterns) > _MAX_PATTERNS:  # most are of candidates that are gone
                self.embedding = Embedding(self.embedding.max_height, self.embedding.assignment)
            elif self._pool:
                known = dict(zip(self._pool.archs, self._entries, strict=False))
            self._pool, self._entries = pool, []
        for arch in pool.archs[len(self._entries) :]:
            entries = known.get(arch) if known else None  # to look one up takes time
            self._entries.append(entries or self.embedding.entries(pool.space.operation_graph(arch)))
        return self.embedding.rows(self._entries)


class WeisfeilerLehmanPredictor(GraphPosterior):
    """The Gaussian process of the paper: a covariance is the normalised kernel of two graphs times ``variance``.

    Args:
        max_height: see ``NASBOWL``.
        assignment: the optimal assignment kernel instead of that of subtrees.
    """

    def __init__(self, max_height: int = 3, assignment: bool = True) -> None:
        super().__init__(max_height, assignment)
        self.height = max_height
        self._fit = _Fit(float(np.exp(_SCALE[0])), float(np.exp(2 * _NOISE[0])), np.inf)
        self._columns = np.zeros(0, dtype=np.int64)
        self._raw = self._unit = csr_array((0, 0))

    @property
    def variance(self) -> float:
        return self._fit.scale

    @property
    def noise(self) -> float:
        return self._fit.noise

    def learn(self, pool: Pool, observed: Sequence[int], targets: Array) -> None:
        rows = self.rows(pool)
        last = rows[np.asarray(observed[-_MAX_FITTED:])]
        heights = np.asarray(self.embedding.heights)
        fits = []
        for height in range(self.embedding.max_height + 1):
            unit = normalised(last[:, heights <= height])
            fits.append(_fitted((unit @ unit.T).toarray(), targets[-_MAX_FITTED:]))
        self.height = min(range(len(fits)), key=lambda height: fits[height].loss)
        self._fit = fits[self.height]
        self.embed(rows)

    def embed(self, rows: csr_array) -> None:
        self._columns = np.flatnonzero(np.asarray(self.embedding.heights) <= self.height)
        self._raw = rows[:, self._columns]
        self._unit = normalised(self._raw)

    def covariance(self, pool: Pool, some: Sequence[int], since: int = 0) -> Array:
        return self.variance * products(self._unit[np.asarray(some)], self._unit[since:])

    def motifs(self, observed: Sequence[int], targets: Array) -> list[Motif]:
        """What the last ``fit``, to these arguments, has learned of each pattern; the most helpful first."""
        rows = self._raw[np.asarray(observed)]
        unit = normalised(rows)
        solved = cho_solve((self._lower, True), targets)
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


class SmoothPredictor(GraphPosterior):
    """The Gaussian process of ``GaussianProcess`` on how often each pattern occurs, one group of features per height.

    Args:
        max_height: see ``NASBOWL``.
    """

    def __init__(self, max_height: int = 3) -> None:
        super().__init__(max_height, assignment=False)
        self.kernel = Kernel.prior(max_height + 1)
        self._scales: list[float] = []
        self._units: list[csr_array] = []

    @property
    def variance(self) -> float:
        return self.kernel.variance

    @property
    def noise(self) -> float:
        return self.kernel.noise

    def learn(self, pool: Pool, observed: Sequence[int], targets: Array) -> None:
        self.embed(self.rows(pool))
        # Half the mean square distance of two in the pool is what their mean lacks to length 1.
        means = [np.asarray(unit.mean(axis=0)) for unit in self._units]
        self._scales = self._scales or [float(np.sqrt(2 * max(1 - m @ m, 0))) or 1.0 for m in means]
        last = [unit[np.asarray(observed[-_MAX_FITTED:])] for unit in self._units]
        groups = [rows[:, used_in(rows)].toarray() / s for rows, s in zip(last, self._scales, strict=True)]
        self.kernel = Kernel.fitted(groups, targets[-_MAX_FITTED:], self.kernel)

    def embed(self, rows: csr_array) -> None:
        heights = np.asarray(self.embedding.heights)
        self._units = [normalised(rows[:, heights == h]) for h in range(self.embedding.max_height + 1)]

    def covariance(self, pool: Pool, some: Sequence[int], since: int = 0) -> Array:
        squared = [
            np.maximum(2 - 2 * products(unit[np.asarray(some)], unit[since:]), 0) / scale**2
            for unit, scale in zip(self._units, self._scales, strict=True)
        ]
        return self.kernel.at(squared)


def products(some: csr_array, others: csr_array) -> Array:
    """Inner products of rows, ``(n_some, n_others)``."""
    used = used_in(some)
    return np.asarray((others[:, used] @ some[:, used].toarray().T).T)


def used_in(rows: csr_array) -> NDArray[np.int64]:
    """The columns that are not all zeros."""
    return np.unique(rows.indices)


def normalised(rows: csr_array) -> csr_array:
    """Rows of length 1."""
    return csr_array(rows.multiply(1 / row_lengths(rows)[:, None]))


def row_lengths(rows: csr_array) -> Array:
    """Euclidean, ``(n_rows,)``."""
    return np.asarray(np.sqrt(rows.multiply(rows).sum(axis=1)))


@dataclass(frozen=True)
class _Fit:
    """The most probable variances of kernel and noise, and the loss, which is smaller for what is more probable."""

    scale: float
    noise: float
    loss: float


def _fitted(gram: Array, targets: Array) -> _Fit:
    """The kernel's eigenvalues are all that its likelihood depends on."""
    values, vectors = eigh(gram)
    means, spreads = np.array([_SCALE, _NOISE]).T
    bounds = list(zip(means - _REACH * spreads, means + _REACH * spreads, strict=True))
    given = (np.maximum(values, 0), (vectors.T @ targets) ** 2)
    found = minimize(_loss, means, given, "L-BFGS-B", jac=True, bounds=bounds)
    return _Fit(float(np.exp(found.x[0])), float(np.exp(2 * found.x[1])) + _JITTER, float(found.fun))


def _loss(theta: Array, values: Array, squares: Array) -> tuple[float, Array]:
    """Negative logarithm of marginal likelihood times prior, and its gradient.

    Args:
        theta: logarithms of the kernel's variance and of the standard deviation of the noise.
        values: the eigenvalues of the kernel.
        squares: of the targets' components along the eigenvectors.
    """
    means, spreads = np.array([_SCALE, _NOISE]).T
    explained, noise = np.exp(theta[0]) * values, np.exp(2 * theta[1])
    total = explained + noise + _JITTER
    off = (theta - means) / spreads
    slope = 0.5 * (1 / total - squares / total**2)
    gradient = np.array([slope @ explained, 2 * noise * slope.sum()]) + off / spreads
    return 0.5 * float((squares / total + np.log(total)).sum() + off @ off), gradient
