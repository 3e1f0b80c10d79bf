"""CostSurrogate: a cost of many architectures, predicted from the few that were measured."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_RIDGES = (1e-9, 1e-3, 1e-1, 10.0)
"""Candidates for the weight of the penalty; the smallest lets a cost that is a sum of its options' be found exactly."""


@dataclass(frozen=True)
class CostSurrogate:
    """A cost, or its logarithm, as a sum over the options of an architecture.

    Multiply-adds and parameters of cells are such sums; where a resolution or a width multiplies everything behind it,
    their logarithms nearly are. Ridge regression fits both, and the one with the smaller leave-one-out error is kept.

    Args:
        weights: of the features, ``(n_features,)``.
        constant: added to the sum.
        is_log: whether the sum is the logarithm of the cost.
        error: root mean square leave-one-out error, in the unit of the cost.
        is_sure: whether the error holds: there were more architectures than options, which together had every option,
            and not all of them cost the same.
    """

    weights: Array
    constant: float
    is_log: bool
    error: float
    is_sure: bool

    @classmethod
    def fit(cls, features: Array, values: Array) -> "CostSurrogate":
        """Fit to measured costs.

        Args:
            features: one-hot encodings, ``(n, n_features)``, with n at least 1.
            values: costs, ``(n,)``.
        """
        candidates = [_fit(features, values, is_log=False)]
        if (values > 0).all():
            candidates.append(_fit(features, values, is_log=True))
        return min(candidates, key=lambda found: found.error)

    def __call__(self, features: Array) -> Array:
        """Predict the costs of architectures, ``(n,)``, from their encodings, ``(n, n_features)``."""
        sums: Array = features @ self.weights + self.constant
        return np.exp(np.minimum(sums, 700.0)) if self.is_log else sums  # e^710 is not finite


def _fit(features: Array, values: Array, *, is_log: bool) -> CostSurrogate:
    """Fit by ridge regression with the penalty that has the smallest leave-one-out error."""
    targets = np.log(values) if is_log else values
    centre, mean, n = features.mean(axis=0), float(targets.mean()), len(values)
    left, scales, right = np.linalg.svd(features - centre, full_matrices=False)
    projected = left.T @ (targets - mean)
    is_sure = n > features.shape[1] and bool((features != 0).any(axis=0).all()) and bool(np.ptp(values) > 0)
    best: CostSurrogate | None = None
    for ridge in _RIDGES:
        shrink = scales**2 / (scales**2 + ridge)
        residuals = targets - mean - left @ (shrink * projected)
        leverage = (left**2) @ shrink + 1 / n
        predicted = targets - residuals / np.maximum(1 - leverage, 1e-9)
        missed = (np.exp(np.minimum(predicted, 700.0)) if is_log else predicted) - values
        error = float(np.sqrt(np.mean(np.minimum(np.abs(missed), 1e150) ** 2)))
        if best is None or error < best.error:
            weights = right.T @ (scales / (scales**2 + ridge) * projected)
            best = CostSurrogate(weights, mean - float(centre @ weights), is_log, error, is_sure)
    assert best is not None
    return best
