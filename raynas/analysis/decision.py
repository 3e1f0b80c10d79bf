"""The worth of a cheap score for a decision: rank correlations, precision of its best, and regret of its first choice.

Kendall, "A New Measure of Rank Correlation" (Biometrika 30, 1938), in the form tau-b, which takes ties into account.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raynas.analysis.rank_correlation import MIN_VALUES, RankCorrelation, rank_correlation

SHARE_AT_K = 0.25
"""Share of the candidates that count as the best ones."""


@dataclass(frozen=True, kw_only=True)
class DecisionWorth:
    """The worth of a cheap score for the choice among candidates.

    Args:
        name: of the cheap score.
        spearman: its rank correlation with the final score, with an interval.
        kendall: tau-b with the final score; None where there are fewer than three candidates, or a score is constant.
        k: number of the best that are compared.
        precision: share of the k best by the cheap score that are among the k best in the end; chance gives ``k / n``.
        regret: loss in the final score of the best by the cheap score, against the best of all; 0 is none.
        chance: loss of a candidate that is drawn at random, on average.
    """

    name: str
    spearman: RankCorrelation
    kendall: float | None
    k: int
    precision: float
    regret: float
    chance: float


def decision_worth(name: str, cheap: Sequence[float], final: Sequence[float]) -> DecisionWorth:
    """Compare a cheap score with the final one on the same candidates.

    Args:
        name: of the cheap score.
        cheap: a value for each candidate, larger is better.
        final: a value for each candidate, larger is better.

    Raises:
        ValueError: if there are none, or not as many of both.
    """
    if not final or len(cheap) != len(final):
        raise ValueError(f"both scores need a value for each candidate, got {len(cheap)} and {len(final)}")
    x, y = np.asarray(cheap, float), np.asarray(final, float)
    n = len(x)
    k = math.ceil(SHARE_AT_K * n)
    best_first, best_last = (set(np.argsort(-values, kind="stable")[:k].tolist()) for values in (x, y))
    return DecisionWorth(
        name=name,
        spearman=rank_correlation(cheap, final),
        kendall=_kendall(x.tolist(), y.tolist()),
        k=k,
        precision=len(best_first & best_last) / k,
        regret=float(y.max() - y[int(x.argmax())]),
        chance=float(y.max() - y.mean()),
    )


def _kendall(x: Sequence[float], y: Sequence[float]) -> float | None:
    if len(x) < MIN_VALUES or len(set(x)) == 1 or len(set(y)) == 1:
        return None
    from scipy.stats import kendalltau  # its import takes half a second

    return float(kendalltau(x, y).statistic)
