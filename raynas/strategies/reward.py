"""One number per evaluation, for the algorithms that learn from rewards."""

import math

from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal


class Reward:
    """The score of an evaluation, larger is better, soft constraints applied (MnasNet's way to trade objectives).

    What failed or breaks a hard constraint gets the lowest score seen so far, whatever it reported.

    Args:
        goal: what the search is for.
        strategy: who asks, for the message.

    Raises:
        ValueError: if there are several objectives.
    """

    def __init__(self, goal: Goal, strategy: str) -> None:
        if len(goal.objectives) > 1:
            raise ValueError(
                f"{strategy} learns from one objective; make the others soft constraints, or use NSGA2 for several"
            )
        self.lowest = math.inf

    def __call__(self, goal: Goal, evaluation: Evaluation) -> float | None:
        """The reward; None for failures before the first success, which nothing can be compared with."""
        if goal.violation(evaluation) == 0:
            score = goal.scores(evaluation)[0]
            self.lowest = min(self.lowest, score)
            return score
        return self.lowest if math.isfinite(self.lowest) else None
