"""One reward per evaluation, for algorithms that learn from a single number."""

import math
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.errors import SettingError


class PenalizedReward:
    """The score of an evaluation, larger is better, soft constraints applied (by default MnasNet's reward).

    Failures and evaluations that break a hard constraint get the lowest score seen so far, whatever they reported.

    Args:
        goal: the goal of the search.
        strategy: name of the strategy, for the message.

    Raises:
        SettingError: if there are several objectives.
    """

    def __init__(self, goal: Goal, strategy: str) -> None:
        if len(goal.objectives) > 1:
            raise SettingError(
                f"{strategy} learns from one objective; make the others soft constraints, or use NSGA2 for several"
            )
        self.lowest = math.inf

    def __call__(self, goal: Goal, evaluation: Evaluation) -> float | None:
        """Return the reward; None for failures before the first success, which nothing can be compared with."""
        if goal.violation(evaluation) == 0:
            score = goal.scores(evaluation)[0]
            self.lowest = min(self.lowest, score)
            return score
        return self.lowest if math.isfinite(self.lowest) else None


def ranks(rewards: Sequence[float]) -> NDArray[np.float64]:
    """Return the share of all rewards that each exceeds, in [0, 1), ``(n,)``."""
    in_order = sorted(rewards)
    return np.array([bisect_left(in_order, reward) for reward in rewards]) / len(rewards)
