import math
from dataclasses import dataclass
from typing import Any

import pytest
from ray import tune
from ray.tune.schedulers import TrialScheduler
from typing_extensions import Unpack

from raynas.core.goal import Goal, Objective
from raynas.core.joint_space import JointSpace
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.strategies import Asha, RandomSearch, Strategy
from raynas.strategies.base import refuse_continuous, require_at_least, require_one_of
from raynas.strategies.random_search import RandomSearcher
from raynas.testing import ToySpace

SPACE = ToySpace(n_layers=2, n_options=3)


@dataclass(frozen=True, kw_only=True)
class Settings(Strategy):
    size: float = 5
    kind: str = "a"

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return RandomSearcher(space, goal, **options)


def test_a_searcher_gets_goal_points_and_baseline() -> None:
    worst, point = {"layers.0": 0, "layers.1": 0}, {"arch": {"layers.0": 1, "layers.1": 2}}
    searcher = RandomSearch().searcher(
        SPACE, ["accuracy", "params"], "params <= 5e3", costs={}, points_to_evaluate=[point], baseline=worst
    )
    assert [str(o.metric) for o in searcher.goal.objectives] == ["accuracy", "params"]
    assert [c.metric for c in searcher.goal.constraints] == ["params"]
    assert [searcher.suggest(str(i))["arch"] for i in range(2)] == [worst, point["arch"]]
    goal = Goal.parse("accuracy")
    assert RandomSearch().searcher(SPACE, goal, costs={}).goal is goal


def test_hyperparameters_make_a_joint_space() -> None:
    searcher = RandomSearch().searcher(SPACE, costs={}, hyperparameters={"lr": tune.loguniform(1e-3, 1e-1)})
    assert isinstance(searcher.space, JointSpace) and set(searcher.suggest("0")) == {"arch", "lr"}
    assert RandomSearch().searcher(SPACE, costs={}).space is SPACE


def test_a_strategy_has_the_scheduler_of_its_early_stopping() -> None:
    objective = Objective("accuracy", "max")
    assert RandomSearch().scheduler(objective, 9) is None
    assert isinstance(RandomSearch(early_stopping=Asha()).scheduler(objective, 9), TrialScheduler)
    strategy = RandomSearch()
    assert strategy.for_budget(100) is strategy


@pytest.mark.parametrize("size", [4, math.nan])
def test_least_values_are_checked(size: float) -> None:
    require_at_least(Settings(), {"size": 5})
    with pytest.raises(ValueError, match=f"size must be at least 5, got {size}"):
        require_at_least(Settings(size=size), {"size": 5})


def test_names_are_checked() -> None:
    require_one_of(Settings(), "kind", ("a", "b"))
    with pytest.raises(ValueError, match="kind must be one of a, b, got 'c'"):
        require_one_of(Settings(kind="c"), "kind", ("a", "b"))


def test_continuous_decisions_are_refused() -> None:
    refuse_continuous(SPACE, "a table cannot hold")
    domains: dict[str, Any] = {"k": tune.choice([1, 2]), "lr": tune.uniform(0, 1)}
    with pytest.raises(SpaceError, match="a table cannot hold continuous decisions such as 'lr'"):
        refuse_continuous(JointSpace(SPACE, domains), "a table cannot hold")
