"""The Pareto front of two metrics as it grew, with all trials, limits and the baseline."""

from typing import TYPE_CHECKING, Literal

from raynas.analysis import Front, TrialPoint
from raynas.views.pareto import draw_front
from raynas.views.tensorboard.figures.canvas import label, legend_above, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_EARLIER = 3
"""Number of earlier fronts beside the last."""

_MAX_POINTS = 3000
"""Number of trials that are drawn: the last ones; of more, no picture of this size could be read."""


def front_figure(front: Front) -> "Figure | None":
    """Draw trials, fronts, limits and baseline; None without a trial that has both metrics."""
    if not front.points:
        return None
    figure, axes = new_axes()
    points = front.points[-_MAX_POINTS:]
    _scatter(axes, [p for p in points if p.is_candidate], "finished", "#7fa7d1")
    _scatter(axes, [p for p in points if p.status == "stopped"], "stopped early", "#f2b66d")
    _scatter(axes, [p for p in points if p.status == "finished" and not p.complies], "beyond a limit", "#d98c8c")
    _draw_earlier(axes, front)
    if front.front:
        draw_front(axes, front.front, front.across.mode)
    _draw_references(axes, front)
    xs = [p.x for p in points]
    if 0 < 10 * min(xs) <= max(xs):
        axes.set_xscale("log")
    label(axes, front.across.metric, front.up.metric)
    legend_above(figure, axes)
    return figure


def _scatter(axes: "Axes", points: list[TrialPoint], text: str, colour: str) -> None:
    if points:
        axes.scatter([p.x for p in points], [p.y for p in points], s=14, c=colour, lw=0, label=text)


def _draw_earlier(axes: "Axes", front: Front) -> None:
    """Draw fronts of earlier numbers of trials, the earlier the lighter."""
    from matplotlib import colormaps

    earlier = front.over_time[:-1]
    shown = [earlier[i * len(earlier) // _MAX_EARLIER] for i in range(_MAX_EARLIER)] if earlier else []
    shown = list(dict.fromkeys(shown))
    where: Literal["post", "pre"] = "post" if front.across.mode == "min" else "pre"
    for i, part in enumerate(shown):
        colour = colormaps["Greens"](0.35 + 0.5 * i / max(len(shown) - 1, 1))
        axes.step(*zip(*part.points, strict=True), where=where, color=colour, lw=1.3, label=f"after {part.n_trials}")


def _draw_references(axes: "Axes", front: Front) -> None:
    for limit in front.limits:
        draw = axes.axvline if limit.axis == "x" else axes.axhline
        text = limit.text.split(" ", 1)[1] if limit.text.startswith(front.across.metric) else limit.text
        draw(limit.value, ls=":" if limit.soft else "--", c="tab:red", lw=1.2, label=f"limit {_short(text)}")
    x, y = front.baseline
    if x is not None and y is not None:
        axes.scatter([x], [y], s=90, marker="*", c="tab:green", ec="white", lw=0.5, zorder=3, label="baseline")
    elif x is not None:  # a model that was measured, but not trained
        axes.axvline(x, ls="-.", c="tab:green", lw=1.2, label="baseline")


def _short(constraint: str) -> str:
    """Return a constraint with numbers of four digits at most."""
    return " ".join(_rounded(word) for word in constraint.split())


def _rounded(word: str) -> str:
    try:
        return f"{float(word):.4g}"
    except ValueError:
        return word
