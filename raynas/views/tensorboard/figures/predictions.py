"""Predicted values against those measured."""

from typing import TYPE_CHECKING

from raynas.analysis import CheapScore
from raynas.views.tensorboard.figures.canvas import FONT, label, new_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def predictions_figure(score: CheapScore) -> "Figure":
    """Draw a point for each network that has both values, and the line on which they are equal."""
    figure, axes = new_axes()
    before, after = zip(*score.pairs, strict=True)
    ends = [min(*before, *after), max(*before, *after)]
    margin = 0.06 * (ends[1] - ends[0] or abs(ends[0]) or 1.0)
    ends = [ends[0] - margin, ends[1] + margin]
    axes.plot(ends, ends, c="#999999", lw=1, ls="--", label="equal")
    axes.scatter(before, after, s=20, c="#2b6cb0", lw=0, label=f"{len(before)} networks")
    axes.set(xlim=ends, ylim=ends)
    label(axes, score.name, score.against)
    known = f"ρ = {score.correlation}" if score.correlation.rho is not None else None
    axes.legend(fontsize=FONT - 1, frameon=False, loc="lower right", title=known, title_fontsize=FONT - 1)
    return figure
