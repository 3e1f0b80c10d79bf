"""PredictionError: distance of predictions from measurements that the predictor did not see."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raynas.errors import SettingError

Values = Sequence[float] | NDArray[np.float64]

TOLERANCE = 0.1
"""Relative error of a prediction that counts as right, as in BRP-NAS (Dudziak et al., NeurIPS 2020)."""


@dataclass(frozen=True, kw_only=True)
class PredictionError:
    """Comparison of predictions with measurements.

    Args:
        n: number of networks compared.
        within: share of predictions within ``TOLERANCE`` of the measurement, in [0, 1].
        spearman: rank correlation, in [-1, 1]; 0 if all predictions or all measurements are equal.
        kendall: the same by pairs.
        bias: sum of the predictions over that of the measurements, less 1; above 0 where too much is predicted.
        how: the procedure that kept these networks from the predictor, for example "5-fold cross-validation".
    """

    n: int
    within: float
    spearman: float
    kendall: float
    bias: float
    how: str

    def __str__(self) -> str:
        return (
            f"{self.within:.0%} within {TOLERANCE:.0%}, Spearman {self.spearman:.3f}, Kendall {self.kendall:.3f}, "
            f"bias {self.bias:+.1%} ({self.how}, n = {self.n})"
        )


def prediction_error(predicted: Values, measured: Values, how: str) -> PredictionError:
    """Compare predictions with measurements.

    Args:
        predicted: ms, ``(n,)``.
        measured: ms, positive, ``(n,)``.
        how: as of ``PredictionError``.

    Raises:
        SettingError: if there are fewer than two, or not as many of the one as of the other.
    """
    from scipy.stats import kendalltau, spearmanr  # takes half a second, which a search without predictors need not pay

    said, true = np.asarray(predicted, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    if said.shape != true.shape or len(true) < 2:
        raise SettingError(f"an error needs two or more pairs, got {len(said)} predictions of {len(true)} measurements")
    differ = np.ptp(said) > 0 and np.ptp(true) > 0
    return PredictionError(
        n=len(true),
        within=float((np.abs(said / true - 1) <= TOLERANCE).mean()),
        spearman=float(spearmanr(said, true).statistic) if differ else 0.0,
        kendall=float(kendalltau(said, true).statistic) if differ else 0.0,
        bias=float(said.sum() / true.sum() - 1),
        how=how,
    )
