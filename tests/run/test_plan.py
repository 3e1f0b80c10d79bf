"""The name of a search that nobody named."""

from typing import Any

from raynas.run.plan import SearchPlan
from raynas.strategies import RandomSearch
from raynas.testing import ToySpace


def score(model: object, config: object) -> float:
    return 0.5


def name(**asked: Any) -> str:
    usual = {"objectives": "accuracy", "constraints": (), "metrics": (), "seed": 0, "hyperparameters": None}
    more: dict[str, Any] = {**usual, "baseline": None, "points_to_evaluate": (), **asked}
    return SearchPlan.read(ToySpace(), score, RandomSearch(), **more).default_name


def test_other_objectives_and_limits_have_another_folder() -> None:
    plain, limited = name(), name(constraints="params <= 5000")
    assert plain == name(seed=3) == "ToySpace-test_plan.score-RandomSearch"
    assert limited == name(constraints=["params <= 5e3"]) and limited.startswith(f"{plain}-")
    others = [name(objectives=["accuracy", "params"]), name(objectives="max:params"), name(objectives="min:params")]
    assert len({plain, limited, name(constraints="params <= 4000"), *others}) == 6
