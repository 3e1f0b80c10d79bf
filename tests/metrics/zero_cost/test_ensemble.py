"""The ensemble of ranks."""

import math

import numpy as np
import pytest

from raynas.metrics.zero_cost import (
    RankEnsemble,
    rank_ensemble,
)


def test_rank_ensemble_is_the_mean_rank() -> None:
    scores: dict[str, list[float | None]] = {"a": [1.0, 2.0, 3.0, 4.0], "b": [10.0, 10.0, None, 30.0]}
    # b's ranks from 0: the missing one 0, the equal ones 1.5 each, the last 3.
    assert rank_ensemble(scores) == pytest.approx(np.array([1.5, 2.5, 2, 6]) / 2 / 3)
    assert list(rank_ensemble({"a": [math.nan, 1.0]})) == [0, 1]
    with pytest.raises(ValueError, match=r"got \[1, 2\]"):
        rank_ensemble({"a": [1.0], "b": [1.0, 2.0]})


def test_reference_ensemble_grows_with_every_score() -> None:
    ensemble = RankEnsemble({"a": [1.0, 2.0, 3.0, None], "b": [0.0, 0.0, 5.0, 9.0]})
    assert ensemble({"a": 2.0, "b": 5.0}) == pytest.approx((2.5 / 4 + 2.5 / 4) / 2)
    path = [ensemble({"a": a, "b": 5.0}) for a in (-100.0, 0.9, 1.0, 1.5, 2.0, 3.0, 3.1, 1e30)]
    assert path == sorted(path) and len(set(path)) == len(path)
    assert path[0] >= 0 and path[-1] <= 1
    with pytest.raises(ValueError, match="no finite score for any of 2"):
        RankEnsemble({"a": [None, math.nan]})
