"""CostLimits: hard constraints on costs, checked before a trial starts."""

import math
from collections.abc import Callable, Iterable, Mapping

from raynas.core.architecture import Architecture
from raynas.core.constraint import Constraint, exact
from raynas.core.goal import Goal
from raynas.core.measurement import as_float
from raynas.core.space import SearchSpace
from raynas.errors import one_line

Costs = Mapping[str, Callable[[Architecture], float]]
"""Metrics that need no training, by result key, each a function of the architecture."""


class CostLimits:
    """Names the points that break a hard constraint which needs no training, and measures each cost at most once.

    A record of an earlier life of the search may know more than the search has asked for yet. So that a replayed search
    decides as it did, what it has asked for (``refused``, ``asked``) is kept apart from what a record knows.

    Args:
        space: of the points.
        costs: how each cost is measured.
        exempt: the baseline, which is measured but never refused.
    """

    def __init__(self, space: SearchSpace, costs: Costs, exempt: Architecture | None = None) -> None:
        self.refused: dict[Architecture, str] = {}
        """The points refused so far, with the reasons, in their order."""
        self.asked: dict[str, dict[Architecture, float]] = {}
        """The costs of the architectures asked for so far, by name, in their order."""
        self._space, self._costs, self._exempt = space, costs, exempt
        self._measured: dict[Architecture, dict[str, float]] = {}
        self._recorded: dict[Architecture, str] = {}

    def refusal(self, point: Architecture, goal: Goal) -> str:
        """Return the reason why the point is refused, or "" if it is not."""
        if point not in self.refused:
            reason = self.broken(point, goal)
            self._note_asked(point)
            if not reason:
                return ""
            self.refused[point] = reason
        return self.refused[point]

    def keeps(self, point: Architecture, constraints: Iterable[Constraint]) -> bool:
        """Return True if a point breaks none of some constraints on costs; it is measured, but not refused."""
        reason = self._broken(point, constraints)
        self._note_asked(point)
        return not reason

    def _note_asked(self, point: Architecture) -> None:
        for metric, value in self.measured(point).items():
            self.asked.setdefault(metric, {}).setdefault(self._space.architecture(point), value)

    def broken(self, point: Architecture, goal: Goal) -> str:
        """Return the reason to refuse a point, or ""; unlike ``refusal`` this does not count as asked."""
        return self._recorded.get(point) or self._broken(point, self.applied(goal))

    def _broken(self, point: Architecture, constraints: Iterable[Constraint]) -> str:
        arch = self._space.architecture(point)
        for constraint in constraints:
            try:
                value = self.measure(constraint.metric, arch)
            except Exception as error:  # Tune ends the whole run when a searcher raises.
                return f"{constraint.metric} cannot be measured: {one_line(error)}"
            if constraint.violation({constraint.metric: value}) > 0 and point != self._exempt:
                return f"{constraint.metric} = {exact(value)}, required {constraint}"
        return ""

    def applied(self, goal: Goal) -> list[Constraint]:
        """Return the hard constraints on costs."""
        return [constraint for constraint in goal.hard if constraint.metric in self._costs]

    def counted(self, goal: Goal) -> list[Constraint]:
        """Return those on costs that follow from the shapes of a network alone."""
        return [constraint for constraint in self.applied(goal) if is_counted(constraint.metric, goal)]

    def measure(self, metric: str, arch: Architecture) -> float:
        """Return a cost of an architecture; whatever the measurement raises is raised."""
        measured = self._measured.setdefault(arch, {})
        if metric not in measured:
            measured[metric] = _finite(self._costs[metric](arch))
        return measured[metric]

    def measured(self, point: Architecture) -> dict[str, float]:
        """Return the costs of the architecture in a point that were measured so far."""
        return dict(self._measured.get(self._space.architecture(point), {}))

    def note(self, point: Architecture, costs: Mapping[str, float]) -> None:
        """Take over recorded costs: a latency measured again could refuse an architecture that was accepted."""
        if costs:
            self._measured[self._space.architecture(point)] = dict(costs)

    def note_refusal(self, point: Architecture, reason: str) -> None:
        """Take over a recorded refusal."""
        self._recorded[point] = reason

    def is_recorded(self, point: Architecture) -> bool:
        """Return True if the refusal of a point was taken over from a record."""
        return point in self._recorded


def is_counted(metric: str, goal: Goal) -> bool:
    """Return True if a cost follows from the shapes of a network alone, so that measuring it is cheap and exact."""
    known = goal.metrics.get(metric)
    return known is not None and known.measure is not None and known.needs == "shapes"


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{float(value)} is not a finite number")
    return as_float(value)
