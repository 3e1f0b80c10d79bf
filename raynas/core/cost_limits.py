"""CostLimits: hard constraints on costs, checked before a trial starts."""

import math
from collections.abc import Callable, Mapping

from raynas.core.architecture import Architecture
from raynas.core.constraint import exact
from raynas.core.goal import Goal
from raynas.core.measurement import as_float
from raynas.core.space import SearchSpace
from raynas.errors import one_line

Costs = Mapping[str, Callable[[Architecture], float]]
"""Metrics that need no training, by result key, each a function of the architecture."""


class CostLimits:
    """Names the points that break a hard constraint which needs no training, and measures each cost at most once.

    Args:
        space: of the points.
        costs: how each cost is measured.
        exempt: the baseline, which is measured but never refused.
    """

    def __init__(self, space: SearchSpace, costs: Costs, exempt: Architecture | None = None) -> None:
        self.refused: dict[Architecture, str] = {}
        self._space, self._costs, self._exempt = space, costs, exempt
        self._measured: dict[Architecture, dict[str, float]] = {}

    def refusal(self, point: Architecture, goal: Goal) -> str:
        """Return the reason why the point is refused, or "" if it is not."""
        arch = self._space.architecture(point)
        for constraint in goal.hard:
            metric = constraint.metric
            if metric not in self._costs:
                continue
            measured = self._measured.setdefault(arch, {})
            if metric not in measured:
                try:
                    measured[metric] = _finite(self._costs[metric](arch))
                except Exception as error:  # Tune ends the whole run when a searcher raises.
                    return f"{metric} cannot be measured: {one_line(error)}"
            if constraint.violation(measured) > 0 and point != self._exempt:
                return f"{metric} = {exact(measured[metric])}, required {constraint}"
        return ""

    def measured(self, point: Architecture) -> dict[str, float]:
        """Return the costs of the architecture in a point that were measured so far."""
        return dict(self._measured.get(self._space.architecture(point), {}))

    def note(self, point: Architecture, costs: Mapping[str, float]) -> None:
        """Take over recorded costs: a latency measured again could refuse an architecture that was accepted."""
        if costs:
            self._measured[self._space.architecture(point)] = dict(costs)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{float(value)} is not a finite number")
    return as_float(value)
