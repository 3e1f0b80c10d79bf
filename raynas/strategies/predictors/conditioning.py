"""Conditioning of a Gaussian process on candidates, in blocks of any size (Rasmussen and Williams, 2006, ch. 2)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky
from scipy.linalg.blas import dtrsm

Array = NDArray[np.float64]

_GROWTH = 1.25
"""Factor by which memory grows when it is short."""


class Conditioning:
    """The candidates that a Gaussian process is conditioned on, whatever their results, and its memory.

    With K = L Lᵀ the covariances of n candidates with each other, noise included, and V = L⁻¹ K(n, pool), their results
    explain the column sums of V² of the variance of the pool. The next block adds rows to L and V, no other changes.
    """

    def __init__(self) -> None:
        self.indices: list[int] = []
        """Of the candidates in the pool, ``(n,)``."""
        self.covariances = np.zeros((0, 0))
        """K, ``(n, n)``."""
        self.lower = np.zeros((0, 0))
        """L, ``(n, n)``."""
        self.explained = np.zeros(0)
        """``(n_pool,)``."""
        self._memory = np.zeros((0, 0))

    @property
    def rows(self) -> Array:
        """V, ``(n, n_pool)``."""
        return self._memory[: len(self.indices), : len(self.explained)]

    def restart(self, n_pool: int) -> None:
        """Forget all candidates, and begin with a pool of another size."""
        self.keep(0)
        self._reserve(0, n_pool)
        self.explained = np.zeros(n_pool)

    def keep(self, n: int) -> None:
        """Forget all candidates but the first n."""
        if n < len(self.indices):
            self.indices = self.indices[:n]
            self.covariances, self.lower = self.covariances[:n, :n], self.lower[:n, :n]
            self.explained = _column_squares(self.rows)

    def append(self, indices: Sequence[int], across: Array, noise: float) -> None:
        """Condition on a block of candidates.

        Args:
            indices: of the candidates.
            across: their covariances with the pool, ``(n_indices, n_pool)``; overwritten.
            noise: variance of a result.

        Raises:
            numpy.linalg.LinAlgError: if the covariance is not positive definite.
        """
        n, new = len(self.indices), across[:, indices] + noise * np.eye(len(indices))
        rows, between = self.rows, across[:, self.indices]
        by_known = rows[:, indices].copy()
        across -= by_known.T @ rows
        lower = cholesky(new - by_known.T @ by_known, lower=True)
        self.covariances = np.block([[self.covariances, between.T], [between, new]])
        self.lower = np.block([[self.lower, np.zeros((n, len(indices)))], [by_known.T, lower]])
        self._reserve(n + len(indices), len(self.explained))
        self.indices = [*self.indices, *indices]
        self.rows[n:] = _solved(lower, across)
        self.explained = self.explained + _column_squares(self.rows[n:])

    def widen(self, across: Array) -> None:
        """Account for candidates that joined the pool.

        Args:
            across: covariances of ``indices`` with them, ``(n, n_new)``; overwritten.
        """
        n_pool, added = len(self.explained), _solved(self.lower, across)
        self._reserve(len(self.indices), n_pool + added.shape[1])
        self.explained = np.append(self.explained, _column_squares(added))
        self.rows[:, n_pool:] = added

    def _reserve(self, n: int, n_pool: int) -> None:
        """Let the memory have room for n rows of a pool."""
        if n > self._memory.shape[0] or n_pool > self._memory.shape[1]:
            rows, room = self.rows, np.maximum(self._memory.shape, (np.array([n, n_pool]) * _GROWTH).astype(int))
            self._memory = np.empty(room)
            self._memory[: rows.shape[0], : rows.shape[1]] = rows


def _solved(lower: Array, across: Array) -> Array:
    """Return L⁻¹ K; K is overwritten. BLAS wants columns, so it is given the transposes: Kᵀ L⁻ᵀ."""
    solved: Array = dtrsm(1.0, lower.T, across.T, side=1, overwrite_b=1).T
    return solved


def _column_squares(rows: Array) -> Array:
    return np.asarray(np.einsum("ij,ij->j", rows, rows))
