from typing import Any

import pytest
from ray.tune.schedulers import ASHAScheduler

from raynas.core.goal import Objective
from raynas.strategies import (
    Asha,
    Hyperband,
    MultiObjectiveAsha,
)


def test_the_scheduler_gets_the_settings() -> None:
    asha = Asha(grace_period=2, reduction_factor=4).scheduler(Objective("loss", "min"), 8)
    assert isinstance(asha, ASHAScheduler)
    assert (asha._metric, asha._mode, asha._max_t) == ("loss", "min", 8)
    assert [milestone for milestone, _ in asha._brackets[0]._rungs] == [8, 2]
    assert isinstance(Asha(grace_period=5).scheduler(Objective("loss", "min"), 3), ASHAScheduler)


@pytest.mark.parametrize("rule", [Asha, Hyperband, MultiObjectiveAsha])
@pytest.mark.parametrize("settings", [{"grace_period": 0}, {"reduction_factor": 1}, {"reduction_factor": float("nan")}])
def test_settings_of_halving_are_checked(rule: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{rule.__name__} needs grace_period >= 1 and reduction_factor > 1, got"):
        rule(**settings)
