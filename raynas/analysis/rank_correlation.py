"""Rank correlation with an interval: a measure of what a cheap score says about the next.

Spearman, "The Proof and Measurement of Association between Two Things" (1904). The interval is the percentile bootstrap
of Efron (1979); of many pairs, where that takes seconds, that of Bonett and Wright, "Sample Size Requirements for
Estimating Pearson, Kendall and Spearman Correlations" (Psychometrika 65, 2000), on Fisher's scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_VALUES, MIN_FOR_INTERVAL = 3, 5
MAX_FOR_BOOTSTRAP = 200
"""Number of pairs beyond which the interval is computed by a formula."""

N_DRAWS = 1000


@dataclass(frozen=True, kw_only=True)
class RankCorrelation:
    """Spearman's correlation of two scores.

    Args:
        n: architectures that have both.
        rho: in [-1, 1]; None where there are fewer than three, or one of the scores is the same for all.
        low: lower end of its 95 % interval; None with fewer than five.
        high: upper end.
    """

    n: int
    rho: float | None
    low: float | None = None
    high: float | None = None

    @property
    def verdict(self) -> str:
        """The judgement on the earlier score, in a few words."""
        if self.rho is None:
            return "cannot be told"
        if self.low is None or self.high is None:
            return "too few to tell"
        if self.low > 0:
            return "it told something"
        return "it misled" if self.high < 0 else "it may have told nothing"

    def __str__(self) -> str:
        if self.rho is None:
            return f"unknown (n = {self.n})"
        interval = f" [{self.low:+.2f}, {self.high:+.2f}]" if self.low is not None else ""
        return f"{self.rho:+.2f}{interval} (n = {self.n})"


def rank_correlation(first: Sequence[float], second: Sequence[float], seed: int = 0) -> RankCorrelation:
    """Spearman's correlation, with a 95 % interval over the pairs.

    Args:
        first: a score of each architecture.
        second: another score of the same.
        seed: of the bootstrap.
    """
    x, y = np.asarray(first, float), np.asarray(second, float)
    n = len(x)
    if n < MIN_VALUES or np.ptp(x) == 0 or np.ptp(y) == 0:
        return RankCorrelation(n=n, rho=None)
    rho = float(_spearman(x[None], y[None])[0])
    if n < MIN_FOR_INTERVAL:
        return RankCorrelation(n=n, rho=rho)
    if n > MAX_FOR_BOOTSTRAP:
        margin = 1.96 * np.sqrt((1 + rho**2 / 2) / (n - 3))
        at = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
        return RankCorrelation(n=n, rho=rho, low=float(np.tanh(at - margin)), high=float(np.tanh(at + margin)))
    drawn = np.random.default_rng(seed).integers(n, size=(N_DRAWS, n))
    found = _spearman(x[drawn], y[drawn])
    low, high = np.quantile(found[np.isfinite(found)], (0.025, 0.975))
    return RankCorrelation(n=n, rho=rho, low=float(low), high=float(high))


def _spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation row by row, ``(n_rows, n)`` to ``(n_rows,)``; NaN where a row of either is constant."""
    from scipy.stats import rankdata  # its import takes half a second, which only a funnel needs

    a, b = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (rankdata(x, axis=1), rankdata(y, axis=1)))
    norm = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.asarray(np.divide((a * b).sum(axis=1), norm, out=np.full(len(norm), np.nan), where=norm > 0))
