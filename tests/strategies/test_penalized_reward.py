import math

import pytest

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.metrics import read_goal
from raynas.strategies.penalized_reward import PenalizedReward, ranks


def evaluation(accuracy: float | None = None, **metrics: float) -> Evaluation:
    found = metrics if accuracy is None else {"accuracy": accuracy, **metrics}
    return Evaluation(Architecture({"a": 0}), found, status="finished" if found else "failed")


def test_failures_get_the_lowest_reward_so_far() -> None:
    goal = Goal()
    reward = PenalizedReward(goal, "QLearning")
    assert reward(goal, evaluation()) is None
    assert [reward(goal, evaluation(a)) for a in (0.5, 0.2, None, 0.9, None, 0.1, None)] == [
        *(0.5, 0.2, 0.2),
        *(0.9, 0.2, 0.1, 0.1),
    ]
    assert reward.lowest == 0.1


def test_violations_get_the_lowest_reward_whatever_they_score() -> None:
    goal = read_goal("accuracy", "params <= 10")
    reward = PenalizedReward(goal, "QLearning")
    assert reward(goal, evaluation(0.9, params=20)) is None and reward.lowest == math.inf
    assert reward(goal, evaluation(0.4, params=5)) == 0.4
    assert reward(goal, evaluation(0.9, params=20)) == 0.4


def test_a_smaller_metric_is_a_larger_reward() -> None:
    goal = read_goal("loss")
    reward = PenalizedReward(goal, "QLearning")
    low, high = (reward(goal, evaluation(loss=loss)) for loss in (0.1, 2.0))
    assert low is not None and high is not None and low > high


def test_several_objectives_are_refused() -> None:
    with pytest.raises(ValueError, match="MCTS learns from one objective; make the others soft constraints"):
        PenalizedReward(read_goal(["accuracy", "params"]), "MCTS")


def test_ranks_are_shares_of_rewards_that_are_exceeded() -> None:
    assert ranks([3.0, -5.0, 3.0, 1e9]).tolist() == [0.25, 0.0, 0.25, 0.75]
    assert ranks([3.0]).tolist() == [0.0]
