import numpy as np
import pytest
from scipy.stats import spearmanr

from raynas.analysis import RankCorrelation, rank_correlation


def test_spearmans_own_example() -> None:
    """The textbook case without ties: rho = 1 - 6 sum d^2 / (n (n^2 - 1)), here 1 - 6 * 8 / (5 * 24) = 0.6."""
    found = rank_correlation([1, 2, 3, 4, 5], [2, 1, 5, 3, 4])
    assert found.rho == pytest.approx(0.6)
    assert found.n == 5


@pytest.mark.parametrize("seed", range(5))
def test_is_scipys_with_and_without_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 6, size=40), rng.normal(size=40)
    found = rank_correlation(list(x), list(y))
    assert found.rho == pytest.approx(spearmanr(x, y).statistic)


@pytest.mark.parametrize("n", [50, 201])  # the bootstrap, and the formula
def test_the_interval_covers_the_truth_about_as_often_as_it_says(n: int) -> None:
    """Normal pairs of correlation r have Spearman's 6 / pi * arcsin(r / 2) (Pearson 1907)."""
    rng = np.random.default_rng(0)
    truth = 6 / np.pi * np.arcsin(0.6 / 2)
    covered = 0
    for _ in range(100):
        x = rng.normal(size=n)
        found = rank_correlation(list(x), list(0.6 * x + 0.8 * rng.normal(size=n)))
        assert found.low is not None and found.high is not None
        covered += found.low <= truth <= found.high
    assert 0.88 <= covered / 100 <= 0.99


def test_what_can_not_be_told() -> None:
    assert rank_correlation([], []) == RankCorrelation(n=0, rho=None)
    assert rank_correlation([1, 2], [1, 2]) == RankCorrelation(n=2, rho=None)
    assert rank_correlation([1, 1, 1, 1], [1, 2, 3, 4]) == RankCorrelation(n=4, rho=None)
    few = rank_correlation([1, 2, 3, 4], [1, 2, 3, 5])
    assert few.rho == pytest.approx(1)
    assert few.low is None and few.high is None


def test_the_same_interval_every_time() -> None:
    x, y = [1, 3, 2, 5, 4, 6], [2, 1, 3, 4, 6, 5]
    assert rank_correlation(x, y) == rank_correlation(x, y)


@pytest.mark.parametrize(
    ("found", "verdict", "text"),
    [
        (RankCorrelation(n=1, rho=None), "cannot be told", "unknown (n = 1)"),
        (RankCorrelation(n=4, rho=0.5), "too few to tell", "+0.50 (n = 4)"),
        (RankCorrelation(n=9, rho=0.5, low=0.1, high=0.8), "it told something", "+0.50 [+0.10, +0.80] (n = 9)"),
        (RankCorrelation(n=9, rho=0.2, low=-0.3, high=0.6), "it may have told nothing", "+0.20 [-0.30, +0.60] (n = 9)"),
        (RankCorrelation(n=9, rho=-0.7, low=-0.9, high=-0.1), "it misled", "-0.70 [-0.90, -0.10] (n = 9)"),
    ],
)
def test_in_words(found: RankCorrelation, verdict: str, text: str) -> None:
    assert (found.verdict, str(found)) == (verdict, text)
