"""The Pareto front of two metrics in a plot."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from raynas.core.goal import Objective
from raynas.core.metric import Mode
from raynas.core.pareto import is_non_dominated

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = tuple[float, float]


def front_of(points: Sequence[Point], across: Objective, up: Objective) -> list[Point]:
    """Return the different points that no other beats in both coordinates, in ascending order of the first.

    Args:
        points: ``(n, 2)``, values of the two metrics.
        across: the first metric.
        up: the second.
    """
    on_front = is_non_dominated([(across.sign * x, up.sign * y) for x, y in points])
    return sorted({point for point, is_on_front in zip(points, on_front, strict=True) if is_on_front})


def draw_front(axes: "Axes", front: Sequence[Point], mode: Mode) -> None:
    """Draw a front as steps.

    Args:
        axes: of the plot.
        front: ``(n, 2)`` in ascending order of the first coordinate, n at least 1.
        mode: whether the metric of the first coordinate is maximised.
    """
    # Between two points of the front, the value that the worse of them in x offers is not yet to be had.
    where: Literal["post", "pre"] = "post" if mode == "min" else "pre"
    axes.step(*zip(*front, strict=True), where=where, c="black", lw=1, marker=".", label="Pareto front")
