import logging
import math

import numpy as np
import pytest

from raynas.core.architecture import Architecture
from raynas.errors import UnknownNameError
from raynas.strategies.predictors.zero_cost_ranks import Scores, ZeroCostRanks

ARCHS = [Architecture({"a": i}) for i in range(8)]


def value(arch: Architecture) -> float:
    return float(10.0 ** int(arch["a"]))


def broken(arch: Architecture) -> float:
    raise RuntimeError("dead")


def sometimes(arch: Architecture) -> float:
    return {1: math.nan, 3: -math.inf, 5: math.inf}.get(int(arch["a"]), float(arch["a"]))


def test_ranks_are_standardised() -> None:
    """Their logarithms are as far apart as their values: ranks of n evenly spread scores, mean 0, variance 1 - 1/n²."""
    ranks = ZeroCostRanks({"value": value}, ["value"])
    ranks.refer_to(ARCHS)
    given = ranks(ARCHS)
    assert given.shape == (8, 1)
    np.testing.assert_allclose(np.diff(given[:, 0]), 12**0.5 / 8)
    assert given.mean() == pytest.approx(0) and given.var() == pytest.approx(1 - 1 / 8**2)


def test_what_is_new_is_ranked_among_the_reference() -> None:
    ranks = ZeroCostRanks({"value": value}, ["value"])
    ranks.refer_to(ARCHS[::2])  # 1, 100, 10,000, 1,000,000
    (low,), (between,), (high,) = ranks([ARCHS[0], Architecture({"a": 5}), Architecture({"a": 9})])
    assert low < between < high
    (fourth,), (sixth,) = ranks([ARCHS[4], ARCHS[6]])
    assert fourth < between < sixth < high


def test_what_has_no_finite_score_is_the_worst() -> None:
    ranks = ZeroCostRanks({"sometimes": sometimes, "value": value}, ["sometimes"])
    ranks.refer_to(ARCHS)
    given = ranks(ARCHS)[:, 0]
    assert set(np.flatnonzero(given == given.min())) == {1, 3, 5}
    assert given[0] > given.min() == -0.5 * 12**0.5
    assert ranks.best()[0] == ARCHS[7] and set(ranks.best()[-3:]) == {ARCHS[1], ARCHS[3], ARCHS[5]}


def test_a_proxy_that_always_fails_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    ranks = ZeroCostRanks({"broken": broken, "value": value}, ["broken", "value"])
    with caplog.at_level(logging.WARNING):
        ranks.refer_to(ARCHS)
    assert "broken gave no finite score for any of 8 architectures" in caplog.text
    assert (ranks(ARCHS)[:, 0] == 0).all() and (np.diff(ranks(ARCHS)[:, 1]) > 0).all()
    assert ranks.best() == ARCHS[::-1]


def test_the_best_are_those_of_the_mean_rank() -> None:
    ranks = ZeroCostRanks({"value": value, "minus": lambda arch: -2 * value(arch)}, ["value", "minus"])
    ranks.refer_to([*ARCHS, ARCHS[0]])
    assert ranks.reference == ARCHS == ranks.best()  # no one is better than another: in order


def test_each_is_scored_once() -> None:
    told: list[tuple[Architecture, Scores]] = []
    ranks = ZeroCostRanks({"value": value}, ["value"], lambda arch, scores: told.append((arch, scores)))
    ranks.refer_to(ARCHS)
    ranks(ARCHS)
    ranks.best()
    assert told == [(arch, {"value": value(arch)}) for arch in ARCHS]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="metric that needs no training: 'valeu'; did you mean 'value'"):
        ZeroCostRanks({"value": value}, ["valeu"])
