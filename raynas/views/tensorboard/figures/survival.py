"""Survival of trials under early stopping."""

from typing import TYPE_CHECKING

from raynas.analysis import Survival
from raynas.views.tensorboard.figures.canvas import FONT, label, legend_above, new_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def survival_figure(survival: Survival) -> "Figure | None":
    """Draw how many trials reached each rung, and how many ended there; None without early stopping."""
    rungs = survival.rungs
    if not rungs:
        return None
    figure, axes = new_axes()
    places = range(len(rungs))
    reached = [rung.n_reached for rung in rungs]
    stopped = [rung.n_stopped for rung in rungs]
    failed = [rung.n_failed for rung in rungs]
    axes.bar(places, reached, color="#7fa7d1", label="reached")
    axes.bar(places, stopped, color="#f2b66d", label="stopped there")
    if any(failed):
        axes.bar(places, failed, bottom=stopped, color="#d98c8c", label="failed there")
    for place, n in zip(places, reached, strict=True):
        axes.annotate(f"{n}", (place, n), (0, 2), textcoords="offset points", ha="center", fontsize=FONT - 1)
    axes.set_xticks(places, [f"{rung.fidelity}" for rung in rungs])
    axes.grid(visible=False, axis="x")
    axes.margins(y=0.12)
    label(axes, "trained to epoch", f"trials of {survival.n_trials}")
    legend_above(figure, axes)
    return figure
