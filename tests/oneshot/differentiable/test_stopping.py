"""Stop rules on histories made up."""

from dataclasses import replace

import pytest

from raynas.oneshot.differentiable import (
    EigenvalueJump,
    SkipCount,
    StableOrder,
)
from raynas.oneshot.differentiable.skips import count_skips, skip_share
from raynas.oneshot.differentiable.stopping import Point
from tests.oneshot.differentiable.points import SKIPS, point


class TestStopRules:
    def test_skip_count(self) -> None:
        rule = SkipCount(n_skips=2)
        assert rule([point(0, 1)], 0.5, SKIPS) is None
        assert rule([point(0, 2)], 0.1, SKIPS) is None  # Too early.
        stop = rule([point(0, 1), point(1, 2)], 0.5, SKIPS)
        assert stop is not None and stop.derived == point(1, 2).derived
        jumped = rule([point(0, 1), point(1, 3)], 0.5, SKIPS)
        assert jumped is not None and jumped.derived == point(0, 1).derived and "epoch 0" in jumped.reason
        assert rule([point(0, 1, reduce="skip")], 0.5, SKIPS) is None  # The reduction cell is exempt.
        assert count_skips(point(0, 1, reduce="skip").derived, SKIPS) == {"normal": 1, "reduce": 1}
        assert skip_share(point(0, 1, reduce="skip").derived, SKIPS) == 0.5

    def test_eigenvalue_jump_goes_back(self) -> None:
        rule = EigenvalueJump(ratio=1.3, window=2, delta=2)
        values = [0.1, 0.1, 0.1, 0.11, 0.12, 0.2]
        history = [point(i, i % 3, value) for i, value in enumerate(values)]
        assert all(rule(history[:n], 0.5, SKIPS) is None for n in range(1, 6))
        # (0.12 + 0.2) / 2 = 0.16 > 1.3 * (0.1 + 0.11) / 2 = 0.1365
        stop = rule(history, 0.5, SKIPS)
        assert stop is not None and stop.derived == history[3].derived and "epoch 3" in stop.reason
        assert rule([*history, point(6, 0)], 0.5, SKIPS) is None  # Nothing new was seen.

    def test_stable_order(self) -> None:
        rule = StableOrder(n_epochs=3)
        history = [replace(point(i, i % 2), order=order) for i, order in enumerate([(1, 0), (0, 1), (0, 1), (0, 1)])]
        assert all(rule(history[:n], 0.5, SKIPS) is None for n in (1, 2, 3))
        stop = rule(history, 0.5, SKIPS)
        assert stop is not None and stop.derived == history[-1].derived and "same for 3 epochs" in stop.reason
        assert rule(history, 0.1, SKIPS) is None  # Too early.
        assert rule([point(i, 0) for i in range(4)], 0.5, SKIPS) is None  # Nothing is learnable.
        assert Point.from_dict(history[0].to_dict()) == history[0] and StableOrder().n_epochs == 10

    def test_refuses(self) -> None:
        with pytest.raises(ValueError, match="n_epochs must be at least 2"):
            StableOrder(n_epochs=1)
        with pytest.raises(ValueError, match="start"):
            SkipCount(start=1.0)
        with pytest.raises(ValueError, match="ratio > 1"):
            EigenvalueJump(ratio=1.0)

    def test_a_point_survives_its_dict(self) -> None:
        assert Point.from_dict(point(3, 1, 0.5).to_dict()).derived == point(3, 1).derived
