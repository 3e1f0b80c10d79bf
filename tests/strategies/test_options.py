"""Options that are no names: every strategy proposes and learns from None, tuples, grids and nested domains."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from ray import tune

from raynas.core.architecture import Architecture
from raynas.core.decision import Categorical, Integer
from raynas.core.evaluation import Evaluation
from raynas.errors import RaynasError
from raynas.strategies import Strategy
from tests.core.decided import Decided
from tests.strategies.test_contract import LIMITS, VARIANTS

WITH_GROUPS: Any = {"pool": (None, (2, 2))}
SPACE = Decided(
    Categorical("pool", (None, (2, 2), (1, (3,)), "max")),
    Categorical("width", list(2 ** np.arange(3, 6))),
    Integer("groups", 1, 9, step=4, active_if=WITH_GROUPS),
)
HYPERPARAMETERS: Mapping[str, Any] = {
    "optimizer": {"betas": tune.choice([None, (0.9, 0.99)]), "lr": tune.qloguniform(0.01, 0.1, 0.01)},
    "batch_size": tune.qrandint(8, 32, 8),
    "warmup": tune.lograndint(1, 50),
    "dropout": tune.quniform(0.0, 0.5, 0.25),
}


def accuracy(arch: Mapping[str, Any]) -> float:
    return float(arch["pool"] == (2, 2)) / 2 + float(arch["width"]) / 64


@pytest.mark.parametrize("strategy", VARIANTS.values(), ids=VARIANTS)
def test_options_of_any_kind_are_searched(strategy: Strategy) -> None:
    if getattr(strategy, "order", None):
        return  # names decisions of another space
    joint = {} if "continuous" in LIMITS.get(type(strategy), {}) else HYPERPARAMETERS
    searcher = strategy.searcher(SPACE, hyperparameters=joint, costs={})
    for trial in map(str, range(12)):
        config = searcher.suggest(trial)
        if not isinstance(config, dict):
            break
        assert config["arch"]["pool"] in (None, (2, 2), (1, (3,)), "max") and type(config["arch"]["width"]) is int
        if joint:
            assert config["optimizer"]["betas"] in (None, (0.9, 0.99)) and config["batch_size"] % 8 == 0
            assert config["dropout"] in (0.0, 0.25, 0.5) and 1 <= config["warmup"] < 50
        searcher.on_trial_complete(trial, {"accuracy": accuracy(config["arch"]), "training_iteration": 1})
    assert len(searcher.archive.evaluations) >= 6


def test_options_of_another_session_are_learned_from() -> None:
    stranger: Any = {"pool": (3, 3), "width": 8}
    member: Any = {"pool": [2, 2], "width": 8, "groups": 5}
    searcher = VARIANTS["evolution"].searcher(SPACE, costs={})
    with pytest.raises(RaynasError, match="'pool' cannot be"):
        searcher.warm_start([Evaluation(Architecture(stranger), {"accuracy": 1.0})])
    searcher.warm_start([Evaluation(Architecture(member), {"accuracy": 1.0})])
