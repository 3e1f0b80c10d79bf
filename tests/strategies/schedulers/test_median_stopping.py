from typing import Any

import pytest
from ray.tune.schedulers import MedianStoppingRule

from raynas.core.goal import Objective
from raynas.strategies import (
    MedianStopping,
)


@pytest.mark.parametrize("settings", [{"grace_period": 0}, {"min_samples": 0}])
def test_settings_of_the_median_rule_are_checked(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="grace_period >= 1 and min_samples >= 1, got"):
        MedianStopping(**settings)


def test_the_scheduler_gets_the_settings() -> None:
    median = MedianStopping(grace_period=4, min_samples=5).scheduler(Objective("accuracy", "max"), 8)
    assert isinstance(median, MedianStoppingRule)
    assert (median._metric, median._mode, median._grace_period) == ("accuracy", "max", 4)
    assert median._min_samples_required == 5
