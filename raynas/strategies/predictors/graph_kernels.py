"""Gaussian processes on graphs of operations: covariances from counts of Weisfeiler-Lehman patterns.

Ru, Wan, Dong and Osborne (ICLR 2021, arXiv:2006.07556), section 3.
"""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from raynas.core.architecture import Architecture
from raynas.regression.matern_kernel import MaternKernel
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.gp_inference import MAX_FITTED, GPPredictor
from raynas.strategies.predictors.weisfeiler_lehman import Embedding, Entries

Array = NDArray[np.float64]

_MAX_PATTERNS = 300_000
"""Number of known patterns beyond which those of earlier candidates are dropped."""


class GraphKernelPredictor(GPPredictor):
    """A Gaussian process on the patterns of the graphs of a pool; a subclass gives the kernel.

    Args:
        max_height: see ``NASBOWL``.
        assignment: see ``Embedding``.
    """

    def __init__(self, max_height: int, assignment: bool) -> None:
        super().__init__()
        self.embedding = Embedding(max_height, assignment)
        self._pool: CandidatePool | None = None
        self._entries: list[Entries] = []

    @abstractmethod
    def embed(self, rows: csr_array) -> None:
        """Store the part of the counts of patterns, ``(n_pool, n_columns)``, that covariances depend on."""

    def extend(self, pool: CandidatePool, observed: Sequence[int]) -> None:
        self.embed(self.rows(pool))
        super().extend(pool, observed)

    def rows(self, pool: CandidatePool) -> csr_array:
        """Return the counts of patterns of all candidates, ``(n_pool, n_columns)``; drop those of other pools."""
        known: dict[Architecture, Entries] = {}
        if pool is not self._pool:
            if len(self.embedding.patterns) > _MAX_PATTERNS:  # most are of earlier candidates
                self.embedding = Embedding(self.embedding.max_height, self.embedding.assignment)
            elif self._pool:
                known = dict(zip(self._pool.archs, self._entries, strict=False))
            self._pool, self._entries = pool, []
        for arch in pool.archs[len(self._entries) :]:
            entries = known.get(arch) if known else None  # a look-up takes time
            self._entries.append(entries or self.embedding.entries(pool.space.operation_graph(arch)))
        return self.embedding.rows(self._entries)


class SmoothPredictor(GraphKernelPredictor):
    """The Gaussian process of ``GaussianProcess`` on counts of patterns, one group of features per height.

    Args:
        max_height: see ``NASBOWL``.
    """

    def __init__(self, max_height: int = 3) -> None:
        super().__init__(max_height, assignment=False)
        self.kernel = MaternKernel.prior(max_height + 1)
        self._scales: list[float] = []
        self._units: list[csr_array] = []

    @property
    def variance(self) -> float:
        return self.kernel.variance

    @property
    def noise(self) -> float:
        return self.kernel.noise

    def learn(self, pool: CandidatePool, observed: Sequence[int], targets: Array) -> None:
        self.embed(self.rows(pool))
        # Half the mean square distance of two candidates is 1 less the squared length of their mean.
        means = [np.asarray(unit.mean(axis=0)) for unit in self._units]
        self._scales = self._scales or [float(np.sqrt(2 * max(1 - m @ m, 0))) or 1.0 for m in means]
        last = [unit[np.asarray(observed[-MAX_FITTED:])] for unit in self._units]
        groups = [rows[:, used_in(rows)].toarray() / s for rows, s in zip(last, self._scales, strict=True)]
        self.kernel = MaternKernel.fitted(groups, targets[-MAX_FITTED:], self.kernel)

    def embed(self, rows: csr_array) -> None:
        heights = np.asarray(self.embedding.heights)
        self._units = [normalised(rows[:, heights == h]) for h in range(self.embedding.max_height + 1)]

    def covariance(self, pool: CandidatePool, some: Sequence[int], since: int = 0) -> Array:
        squared = [
            np.maximum(2 - 2 * products(unit[np.asarray(some)], unit[since:]), 0) / scale**2
            for unit, scale in zip(self._units, self._scales, strict=True)
        ]
        return self.kernel.at(squared)


def products(some: csr_array, others: csr_array) -> Array:
    """Return the inner products of rows, ``(n_some, n_others)``."""
    used = used_in(some)
    return np.asarray((others[:, used] @ some[:, used].toarray().T).T)


def used_in(rows: csr_array) -> NDArray[np.int64]:
    """Return the indices of columns that are not all zeros."""
    return np.unique(rows.indices)


def normalised(rows: csr_array) -> csr_array:
    """Scale rows to length 1."""
    return csr_array(rows.multiply(1 / row_lengths(rows)[:, None]))


def row_lengths(rows: csr_array) -> Array:
    """Return Euclidean lengths, ``(n_rows,)``."""
    return np.asarray(np.sqrt(rows.multiply(rows).sum(axis=1)))
