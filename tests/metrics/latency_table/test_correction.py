"""Correction of sums by whole networks."""

import numpy as np
import pytest

from raynas.metrics.latency_table.correction import PLAIN, fit_correction


def made_up(n: int) -> tuple[list[list[float]], list[float]]:
    rng = np.random.default_rng(0)
    terms = [
        [1.0, rng.uniform(2, 8), float(rng.integers(10, 50)), float(rng.integers(5, 40)), 0.1, 3.0, 2.0]
        for _ in range(n)
    ]
    return terms, [0.3 + 1.2 * row[1] + 0.004 * row[2] for row in terms]


def test_without_networks_sums_stay_as_they_are() -> None:
    assert fit_correction([], []) == PLAIN


def test_it_finds_overhead_and_factor() -> None:
    terms, ms = made_up(30)
    weights = fit_correction(terms[:20], ms[:20])
    assert np.asarray(terms[20:]) @ weights == pytest.approx(ms[20:], rel=0.01)
    assert weights[1] == pytest.approx(1.2, abs=0.03)


def test_few_networks_change_it_by_little_more_than_they_tell() -> None:
    terms, ms = made_up(21)
    weights = fit_correction(terms[:1], ms[:1])
    assert np.dot(terms[0], weights) == pytest.approx(ms[0], rel=0.03)
    error = np.abs(np.asarray(terms[1:]) @ weights / ms[1:] - 1).mean()
    assert error < np.abs(np.asarray(terms[1:]) @ PLAIN / ms[1:] - 1).mean()


def test_weights_that_fit_into_no_cache_take_time() -> None:
    rng = np.random.default_rng(1)
    terms = [[1.0, rng.uniform(2, 8), 20.0, 10.0, 0.1, rng.uniform(20, 90), rng.uniform(1, 6)] for _ in range(60)]
    ms = [row[1] + 0.4 * row[6] for row in terms]
    weights = fit_correction(terms[:40], ms[:40])
    assert np.asarray(terms[40:]) @ weights == pytest.approx(ms[40:], rel=0.02)
    assert weights[6] == pytest.approx(0.4, abs=0.1)
