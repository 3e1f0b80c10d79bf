from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from raynas.core.coded_decisions import Codes
from raynas.core.level_splitting import drawn_below, walked
from raynas.testing import ToySpace

SPACE = ToySpace(n_layers=5)


def sums(codes: Codes) -> NDArray[np.int64]:
    return np.asarray(codes[:, :5].sum(axis=1))


def ends(codes: Codes) -> NDArray[np.float64]:
    """Only the two ends of the space, which no walk between them joins, break nothing."""
    return np.minimum(np.maximum(sums(codes) - 1, 0), np.maximum(14 - sums(codes), 0)).astype(np.float64)


def test_draws_are_like_uniform_ones_that_were_repeated_until_they_complied() -> None:
    rng = np.random.default_rng(0)
    uniform = SPACE.coded.sample(400_000, rng)
    expected = Counter(row.tobytes() for row in uniform[ends(uniform) == 0])
    drawn = np.vstack([drawn_below(SPACE.coded, ends, 400, rng) for _ in range(25)])
    assert (ends(drawn) == 0).all()
    found = Counter(row.tobytes() for row in drawn)
    shares = {row: n / expected.total() for row, n in expected.items()}
    distance = sum(abs(found[row] / len(drawn) - share) for row, share in shares.items()) / 2
    assert found.keys() <= expected.keys() and distance < 0.1, "total variation"


def test_a_walk_stays_below_its_level_and_conditional_decisions_get_their_share() -> None:
    rng = np.random.default_rng(0)
    start = SPACE.coded.sample(2000, rng)
    codes = walked(SPACE.coded, lambda c: np.zeros(len(c)), start, 0.0, 60, rng)
    assert np.mean(codes[:, 0] == 3) == pytest.approx(0.25, abs=0.03), "although these have one decision more"
    low = start[sums(start) <= 7]
    assert (
        sums(walked(SPACE.coded, lambda c: np.maximum(sums(c) - 7, 0).astype(np.float64), low, 0.0, 20, rng)) <= 7
    ).all()


def test_what_nothing_complies_with_ends_with_the_nearest() -> None:
    rng = np.random.default_rng(0)
    drawn = drawn_below(SPACE.coded, lambda codes: (1 + sums(codes)).astype(np.float64), 100, rng)
    assert (sums(drawn) == 0).all()
    alike = drawn_below(SPACE.coded, lambda codes: np.ones(len(codes)), 100, rng)
    assert len(np.unique(alike, axis=0)) > 50
