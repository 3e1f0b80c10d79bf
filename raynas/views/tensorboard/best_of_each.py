"""The best evaluation for each objective, as it is after every trial."""

import math
from collections.abc import Mapping, Sequence

from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal


class BestOfEach:
    """The best of the fully trained evaluations that meet the constraints, for each objective.

    Args:
        goal: of the search.
        evaluations: the first to take into account.
    """

    def __init__(self, goal: Goal, evaluations: Sequence[Evaluation] = ()) -> None:
        self.goal = goal
        self.evaluations: dict[str, Evaluation] = {}
        self._scores: dict[str, float] = {}
        for evaluation in evaluations:
            self.add(evaluation)

    @property
    def values(self) -> dict[str, float]:
        """The value of each objective in its best evaluation."""
        return {metric: e.metrics[metric] for metric, e in self.evaluations.items()}

    def add(self, evaluation: Evaluation) -> bool:
        """Take an evaluation into account; return whether it is the best in an objective."""
        if evaluation.status != "finished" or self.goal.violation(evaluation) > 0:
            return False
        scores = zip(self.goal.objectives, self.goal.scores(evaluation), strict=True)
        better = {o.metric: score for o, score in scores if score > self._scores.get(o.metric, -math.inf)}
        self._scores |= better
        self.evaluations |= dict.fromkeys(better, evaluation)
        return bool(better)

    def table(self) -> str:
        """Return the best evaluations side by side, and the baseline, in Markdown."""
        columns: dict[str, Mapping[str, object]] = {
            f"best {metric}": {"trial": e.trial, **_shown(e.metrics), **e.arch, **e.hyperparameters}
            for metric, e in self.evaluations.items()
        }
        columns |= {"baseline": _shown(self.goal.baseline)} if self.goal.baseline else {}
        names = dict.fromkeys(name for column in columns.values() for name in column)
        lines = [["", *columns], ["---"] * (len(columns) + 1)]
        lines += [
            [name, *(str(column.get(name, "")).replace("|", r"\|") for column in columns.values())] for name in names
        ]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(metrics: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.6g}" for name, value in metrics.items()}
