"""The Pareto front of two metrics in a plot."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from raynas.core.goal import Goal
from raynas.core.metric import Mode

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_front(axes: "Axes", front: Sequence[tuple[float, float]], mode: Mode) -> None:
    """Draw a front as steps.

    Args:
        axes: of the plot.
        front: ``(n, 2)`` in ascending order of the first coordinate, n at least 1.
        mode: whether the metric of the first coordinate is maximised.
    """
    # Between two points of the front, the value that the worse of them in x offers is not yet to be had.
    where: Literal["post", "pre"] = "post" if mode == "min" else "pre"
    axes.step(*zip(*front, strict=True), where=where, c="black", lw=1, marker=".", label="Pareto front")


def draw_references(axes: "Axes", goal: Goal, across: str, up: str) -> None:
    """Mark every limit on one of the two metrics by a line, and the baseline by a star, or a line too.

    Args:
        axes: of the plot.
        goal: with the limits and the baseline's figures; a relative limit whose value is not known is left out.
        across: the horizontal metric.
        up: the vertical one.
    """
    for limit in goal.constraints:
        if not limit.relative and limit.metric in (across, up):
            draw = axes.axvline if limit.metric == across else axes.axhline
            draw(limit.limit, ls=":" if limit.soft else "--", c="tab:red", lw=1, label=str(limit))
    baseline = goal.baseline
    if across in baseline and up in baseline:
        axes.scatter([baseline[across]], [baseline[up]], s=90, marker="*", c="tab:green", zorder=3, label="baseline")
    elif across in baseline:  # a model that was measured, but not trained
        axes.axvline(baseline[across], ls="-.", c="tab:green", lw=1, label="baseline")
