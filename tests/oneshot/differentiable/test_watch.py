"""The watch's warning, without a supernet."""

import pytest

from raynas.core.architecture import Architecture
from raynas.oneshot.differentiable import (
    Watch,
)
from raynas.oneshot.differentiable.stopping import Point


class TestWatch:
    def test_warns_of_skips_and_of_eigenvalues(self) -> None:
        watch = Watch()

        def seen(share: float, eigenvalue: float) -> Point:
            metrics = {"skip_share": share, "dominant_eigenvalue": eigenvalue}
            return Point(epoch=7, derived=Architecture({}), metrics=metrics)

        assert watch.warning([seen(0.4, 0.1), seen(0.5, 0.29)], 0.5) == ""
        assert watch.warning([seen(0.9, 0.1)], 0.1) == ""
        skips = watch.warning([seen(0.6, 0.1)], 0.5)
        assert "60%" in skips and "epoch 7" in skips and "robust_darts" in skips and "\n" not in skips
        assert "from 0.1 to 0.4" in watch.warning([seen(0.0, 0.1), seen(0.0, 0.4)], 0.5)

    def test_refuses(self) -> None:
        for settings in ({"gap_batches": -1}, {"n_iterations": 0}, {"warn_ratio": 1.0}, {"start": 1.0}):
            with pytest.raises(ValueError, match=r"must not be negative|need warn_skips"):
                Watch(**settings)
