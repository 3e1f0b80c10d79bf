from typing import Any

import numpy as np
import pytest

from raynas.errors import SettingError
from raynas.metrics.latency_predictor.selection import _spread, _uncertain, choose_networks, common
from tests.metrics.latency_predictor.made_up import SPACE, cells, measured

ARCHS = cells(40)
KNOWN = [measured("cpu", ARCHS), measured("gpu", ARCHS[5:])]


def test_networks_that_every_archive_has() -> None:
    assert common(KNOWN) == ARCHS[5:]


@pytest.mark.parametrize("rule", ["variance", "diverse", "random"])
def test_a_choice_is_different_known_networks_and_the_same_again(rule: Any) -> None:
    chosen = choose_networks(SPACE, KNOWN, 6, rule=rule)
    assert len(set(chosen)) == 6 and set(chosen) <= set(ARCHS[5:])
    assert choose_networks(SPACE, KNOWN, 6, rule=rule) == chosen


def test_variance_takes_each_direction_before_one_twice() -> None:
    known = np.array([[0.0, 0.0], [3.0, 0.0], [2.9, 0.0], [0.0, 2.0]])
    assert _uncertain(known, 3) == [1, 3, 0]


def test_diverse_takes_one_of_each_cluster_and_of_each_share() -> None:
    features = np.repeat([[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]], 4, axis=0)
    features += np.random.default_rng(0).random(features.shape) * 1e-3
    chosen = _spread(features, 6, np.random.default_rng(0))
    assert sorted(i // 4 for i in chosen[:3]) == [0, 1, 2] and len(set(chosen)) == 6
    assert 2 in (i // 4 for i in chosen[5:])  # the most similar to all
    assert len(set(_spread(features, 12, np.random.default_rng(0)))) == 12


def test_settings_are_checked() -> None:
    with pytest.raises(SettingError, match="rule must be one of variance, diverse, random"):
        choose_networks(SPACE, KNOWN, 6, rule="best")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="from 1 to the number of candidates, 35, got 36"):
        choose_networks(SPACE, KNOWN, 36)
    with pytest.raises(SettingError, match="archives of known devices, got none"):
        choose_networks(SPACE, [], 6, candidates=ARCHS)
