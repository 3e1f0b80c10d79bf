from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from torch import nn

from raynas import Architecture, FunnelStage
from raynas.core.constraint import Constraint
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.funnels.stage import Listed, survivors
from raynas.metrics import read_goal
from raynas.strategies import Asha
from raynas.testing import ToySpace, run_trials
from raynas.trials import Function, Training, ZeroCost

SPACE = ToySpace()


def score(model: nn.Module, config: Mapping[str, Any]) -> float:
    return 0.5


def arch(*options: int) -> Architecture:
    return Architecture({f"layers.{i}": option for i, option in enumerate(options)})


def goal(stage: FunnelStage, *, is_last: bool = False, **of_funnel: Any) -> Goal:
    return stage.goal(read_goal(**of_funnel), is_last=is_last)


# --- what it ranks by ------------------------------------------------------------------------------------------------


def test_by_the_funnels_objectives() -> None:
    stage = FunnelStage(Training(epochs=2), n=3)
    assert goal(stage, objectives=["accuracy", "latency_ms"]) == read_goal(["accuracy", "latency_ms"])
    assert goal(FunnelStage(score, n=3, objectives="loss")) == read_goal("loss")


@pytest.mark.parametrize(
    ("settings", "objectives", "ranked"),
    [
        (ZeroCost(), None, ["max:ensemble"]),
        (ZeroCost(proxies=("naswot",)), None, ["max:naswot"]),
        (ZeroCost(proxies=("naswot", "snip")), None, ["max:ensemble"]),
        (ZeroCost(), "synflow", ["max:synflow"]),
        (ZeroCost(), ["synflow", "params"], ["max:synflow", "min:params"]),
        (ZeroCost(), "min:synflow", ["min:synflow"]),
    ],
)
def test_a_proxy_needs_no_direction(settings: ZeroCost, objectives: Any, ranked: list[str]) -> None:
    assert goal(FunnelStage(settings, n=3, objectives=objectives)) == read_goal(ranked)


def test_limits_on_what_only_training_tells_are_for_the_last_stage() -> None:
    stage = FunnelStage(Training(), n=3, constraints="loss <= 2")
    limits = ["params <= 10", "accuracy >= 0.9", "latency_ms <= 3 soft"]
    early, late = (goal(stage, is_last=is_last, constraints=limits).constraints for is_last in (False, True))
    assert early == tuple(map(Constraint.parse, ("params <= 10", "latency_ms <= 3 soft", "loss <= 2")))
    assert late == (*map(Constraint.parse, limits), Constraint.parse("loss <= 2"))


# --- what it is called -----------------------------------------------------------------------------------------------


def test_names() -> None:
    kinds = [FunnelStage(s, n=1).kind for s in (Training(), ZeroCost(), Function(fn="mine:train"), score)]
    assert kinds == ["train", "zero_cost", "function", "function"]
    assert FunnelStage(Training(epochs=2), n=1).title == "Training(epochs=2)"
    assert FunnelStage(score, n=1).title == "function score"
    assert [FunnelStage(s, n=1).trains for s in (Training(epochs=1), ZeroCost(), score)] == [True, False, True]


# --- survivors -------------------------------------------------------------------------------------------------------


def test_the_best_first_and_of_equals_the_earlier() -> None:
    found = [
        Evaluation(arch(i), {"accuracy": accuracy, "params": params}, status=status)  # type: ignore[arg-type]
        for i, (accuracy, params, status) in enumerate(
            [
                (0.5, 5, "finished"),
                (0.9, 20, "finished"),
                (0.7, 5, "finished"),
                (0.8, 5, "stopped"),
                (0.99, 5, "failed"),
                (0.7, 6, "finished"),
            ]
        )
    ]
    limited = Goal.parse("accuracy", "params <= 10")
    chosen = survivors(limited, found, 10, SPACE, merges=True)
    assert [dict(e.arch)["layers.0"] for e in chosen] == [2, 5, 0]
    assert survivors(limited, found, 2, SPACE, merges=True) == chosen[:2]
    assert survivors(limited, found[3:5], 2, SPACE, merges=True) == []


@dataclass(frozen=True)
class Twins(ToySpace):
    """Two compute the same if their options add up to the same."""

    def function_key(self, arch: Architecture) -> Hashable:
        return sum(int(option) for option in arch.values())


def test_of_the_same_function_only_the_best_goes_on() -> None:
    found = [Evaluation(arch(*o), {"accuracy": a}) for *o, a in [(1, 2, 0.5), (2, 1, 0.6), (0, 0, 0.4), (3, 0, 0.1)]]
    assert survivors(Goal(), found, 3, Twins(), merges=True) == [found[1], found[2]]
    assert survivors(Goal(), found, 3, Twins(), merges=False) == [found[1], found[0], found[2]]


def test_a_list_is_proposed_in_its_order_and_nothing_more() -> None:
    points = [arch(1, 1, 1, 1, 1), arch(0, 1, 1, 1, 1)]
    searcher = Listed().searcher(SPACE, costs={}, points_to_evaluate=points)
    assert [SPACE.from_config(c) for c in run_trials(searcher, SPACE.result, 10)] == points
    assert searcher.ended_because == "the strategy has nothing more to propose"


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"n": 0}, "at least 1, got 0"),
        ({"n": 2.5}, "at least 1, got 2.5"),
        ({"n": 2, "objectives": "f1"}, "needs a direction"),
        ({"n": 2, "constraints": "params == 3"}, "cannot read constraint"),
    ],
)
def test_settings_are_checked(settings: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        FunnelStage(score, **settings)


def test_a_stage_needs_a_way_of_scoring() -> None:
    with pytest.raises(TypeError, match="trainable must be settings"):
        FunnelStage("train", n=3)  # type: ignore[arg-type]
    assert FunnelStage(score, n=3, early_stopping=Asha()).early_stopping == Asha()


def test_some_survivors_are_drawn_from_all_that_are_not_the_best() -> None:
    evaluations = [Evaluation(arch(i % 3, i // 3), {"accuracy": i / 9}, 1, "finished", str(i)) for i in range(9)]
    of = read_goal("accuracy")
    chosen = survivors(of, evaluations, 5, SPACE, merges=False, n_random=3, seed=1)
    assert [e.trial for e in chosen[:2]] == ["8", "7"] and len({e.trial for e in chosen}) == 5
    assert chosen == survivors(of, evaluations[::-1], 5, SPACE, merges=False, n_random=3, seed=1)
    seeds = {
        tuple(e.trial for e in survivors(of, evaluations, 5, SPACE, merges=False, n_random=3, seed=s)) for s in range(9)
    }
    assert len(seeds) > 1
