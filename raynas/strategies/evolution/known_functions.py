"""KnownFunctions: children that compute a function which was evaluated before, and do not do so at less cost."""

import math
from collections import defaultdict
from collections.abc import Hashable

from raynas.core.architecture import Architecture
from raynas.core.cost_limits import Costs
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.space import SearchSpace


class KnownFunctions:
    """Remembers the functions that were evaluated, and the costs at which.

    An architecture whose ``function_key`` is known has the score of its twin, up to chance, but not its costs: a dead
    edge has parameters. Where the costs are objectives that follow from the architecture alone, they decide before a
    trial whether the twin can be better.

    Costs that are measured on a device do not count: measured again, they differ, and so would a replayed search.

    Args:
        space: gives the keys.
        goal: the goal of the search. Unless all of its metrics but one are objectives that follow from the architecture
            alone (``Metric.needs`` is "shapes"), of which there must be at least one, no child is refused.
        costs: metrics that need no training.
    """

    def __init__(self, space: SearchSpace, goal: Goal, costs: Costs) -> None:
        self._space, self._costs = space, costs
        self._objectives = [
            o
            for o in goal.objectives
            if o.metric in {*costs} & {*goal.metrics} and goal.metrics[o.metric].needs == "shapes"
        ]
        others = {*goal.names} - {o.metric for o in self._objectives}
        self._applies = space.has_twins and bool(self._objectives) and len(others) == 1
        self._known: dict[Hashable, list[tuple[float, ...]]] = defaultdict(list)

    def add(self, evaluation: Evaluation) -> None:
        """Remember the function of an evaluation that succeeded."""
        if self._applies and evaluation.ok:
            self._known[self._space.function_key(evaluation.arch)].append(self._scores(evaluation.arch))

    def has_as_cheap(self, arch: Architecture) -> bool:
        """Return True if the same function was evaluated at costs of which none was higher."""
        if not self._applies or not (known := self._known.get(self._space.function_key(arch))):
            return False
        scores = self._scores(arch)
        return any(all(a >= b for a, b in zip(twin, scores, strict=True)) for twin in known)

    def _scores(self, point: Architecture) -> tuple[float, ...]:
        """Return one number per cost among the objectives, larger is better; NaN, which equals none, if it fails."""
        arch = self._space.architecture(point)
        try:
            return tuple(o.sign * float(self._costs[o.metric](arch)) for o in self._objectives)
        except Exception:  # the trial reports it; Tune ends the whole run when a searcher raises
            return (math.nan,) * len(self._objectives)
