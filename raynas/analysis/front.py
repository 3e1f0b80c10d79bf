"""The Pareto front of two metrics: every trial, the front of all of them, and its growth during the search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from raynas.analysis.windows import windows
from raynas.core.evaluation import Evaluation, Status
from raynas.core.goal import Goal, Objective
from raynas.core.pareto import is_non_dominated

Point = tuple[float, float]

SEARCH = "search"
"""Source of the points of the search itself."""


@dataclass(frozen=True, kw_only=True)
class TrialPoint:
    """A trial in a plot of two metrics.

    Args:
        trial: its name.
        number: position among the ends of the trials of its source, from 1.
        x: value of the horizontal metric.
        y: value of the vertical metric.
        status: the way the trial ended.
        complies: whether it meets the hard constraints.
        source: ``SEARCH``, or the name of another search whose trials are shown too.
    """

    trial: str
    number: int
    x: float
    y: float
    status: Status
    complies: bool
    source: str = SEARCH

    @property
    def is_candidate(self) -> bool:
        """True if it can be on the front: trained to its end, and within the limits."""
        return self.complies and self.status == "finished"


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit on one of the two metrics.

    Args:
        axis: "x" or "y".
        value: of the limit.
        text: the constraint.
        soft: whether it is only a wish.
    """

    axis: Literal["x", "y"]
    value: float
    text: str
    soft: bool


@dataclass(frozen=True, kw_only=True)
class FrontAfter:
    """The front after a number of trials.

    Args:
        n_trials: trials of the search that had ended.
        points: ``(n, 2)``, in ascending order of x.
    """

    n_trials: int
    points: tuple[Point, ...]


@dataclass(frozen=True, kw_only=True)
class Front:
    """Trials in a plot of two metrics, and their Pareto front.

    Args:
        across: the horizontal metric.
        up: the vertical metric.
        points: every trial that has both metrics.
        front: of all candidates of all sources, ``(n, 2)`` in ascending order of x.
        over_time: fronts of the search itself after each window, or generation, of trials; the last is its final one.
        limits: on the two metrics; a relative one whose value is not known is left out.
        baseline: its value of each metric, None where it is not known.
    """

    across: Objective
    up: Objective
    points: tuple[TrialPoint, ...]
    front: tuple[Point, ...]
    over_time: tuple[FrontAfter, ...]
    limits: tuple[Limit, ...]
    baseline: tuple[float | None, float | None]


def front(
    evaluations: Sequence[Evaluation],
    goal: Goal,
    across: Objective,
    up: Objective | None = None,
    *,
    others: Mapping[str, Sequence[Evaluation]] | None = None,
    generation_size: int = 0,
) -> Front:
    """Compare two metrics over all trials.

    Args:
        evaluations: of the search, in the order of their ends.
        goal: has the limits and the baseline's figures.
        across: the horizontal metric.
        up: the vertical metric; default the first objective.
        others: evaluations of other searches for the same goal, such as random search, by name. They were paid for, so
            the front is that of everything.
        generation_size: see ``windows``.
    """
    up = up or goal.first
    own = _points(evaluations, goal, across, up, SEARCH)
    further = [_points(found, goal, across, up, source) for source, found in (others or {}).items()]
    points = [*own, *(point for found in further for point in found)]
    return Front(
        across=across,
        up=up,
        points=tuple(points),
        front=_front(points, across, up),
        over_time=_over_time(own, len(evaluations), across, up, generation_size),
        limits=tuple(_limits(goal, across, up)),
        baseline=(goal.baseline.get(across.metric), goal.baseline.get(up.metric)),
    )


def front_of(points: Sequence[Point], across: Objective, up: Objective) -> list[Point]:
    """Return the different points that no other beats in both coordinates, in ascending order of the first.

    Args:
        points: ``(n, 2)``, values of the two metrics.
        across: the first metric.
        up: the second.
    """
    on_front = is_non_dominated([(across.sign * x, up.sign * y) for x, y in points])
    return sorted({point for point, is_on_front in zip(points, on_front, strict=True) if is_on_front})


def _points(
    evaluations: Sequence[Evaluation], goal: Goal, across: Objective, up: Objective, source: str
) -> list[TrialPoint]:
    x, y = across.metric, up.metric
    return [
        TrialPoint(
            trial=e.trial,
            number=number,
            x=float(e.metrics[x]),
            y=float(e.metrics[y]),
            status=e.status,
            complies=goal.violation(e) == 0,
            source=source,
        )
        for number, e in enumerate(evaluations, 1)
        if x in e.metrics and y in e.metrics
    ]


def _front(points: Sequence[TrialPoint], across: Objective, up: Objective) -> tuple[Point, ...]:
    return tuple(front_of([(p.x, p.y) for p in points if p.is_candidate], across, up))


def _over_time(
    points: Sequence[TrialPoint], n_trials: int, across: Objective, up: Objective, generation_size: int
) -> tuple[FrontAfter, ...]:
    """Return the front after each window, where it is another than before."""
    found: list[FrontAfter] = []
    for window in windows(n_trials, generation_size):
        points_of_front = _front([p for p in points if p.number <= window.last], across, up)
        if points_of_front and (not found or found[-1].points != points_of_front):
            found.append(FrontAfter(n_trials=window.last, points=points_of_front))
    return tuple(found)


def _limits(goal: Goal, across: Objective, up: Objective) -> list[Limit]:
    axes: dict[str, Literal["x", "y"]] = {up.metric: "y", across.metric: "x"}
    return [
        Limit(axis=axes[c.metric], value=c.limit, text=str(c), soft=c.soft)
        for c in goal.constraints
        if not c.relative and c.metric in axes
    ]
