"""Rank correlations of cheap scores with final ones, with their intervals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from raynas.analysis import CheapScore
from raynas.views.tensorboard.figures.canvas import FONT, label, new_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_SCORES = 12
"""Number of scores in a picture."""

_NUMBERS = ("rho", "low", "high")


def fidelity_ranks_figure(scores: Sequence[CheapScore]) -> "Figure | None":
    """Draw the rank correlation of scores after less training as a curve; None without."""
    known = [s for s in scores if s.kind == "fidelity" and s.correlation.rho is not None]
    if not known:
        return None
    figure, axes = new_axes(f"rank correlation with {known[0].against}")
    epochs = [s.fidelity for s in known]
    rhos, lows, highs = (np.array([getattr(s.correlation, name) for s in known], float) for name in _NUMBERS)
    axes.fill_between(epochs, lows, highs, color="#c9dcef", lw=0, label="95 % interval")
    axes.plot(epochs, rhos, marker="o", ms=4, c="#2b6cb0", label="Spearman's ρ")
    axes.set_ylim(float(np.nanmin([*lows, *rhos, 0.0])) - 0.05, 1.05)
    axes.axhline(0, c="#999999", lw=0.8)
    axes.set_xticks(epochs if len(epochs) <= 9 else epochs[::2])
    n = dict.fromkeys((known[0].correlation.n, known[-1].correlation.n))
    label(axes, f"epochs (n = {' to '.join(map(str, n))})", "ρ")
    axes.legend(fontsize=FONT - 1, frameon=False, loc="lower right")
    return figure


def score_ranks_figure(scores: Sequence[CheapScore]) -> "Figure | None":
    """Draw the rank correlations of scores without training, of stages and of predictions; None without."""
    known = [s for s in scores if s.kind != "fidelity" and s.correlation.rho is not None]
    known = sorted(known, key=lambda s: -(s.correlation.rho or 0))[:MAX_SCORES]
    if not known:
        return None
    figure, axes = new_axes("rank correlation with the final score", height=70 + 18 * max(len(known), 3))
    for row, score in enumerate(known):
        rho, low, high = (np.array(getattr(score.correlation, name), float) for name in _NUMBERS)
        axes.plot([low, high], [row, row], c="#9dbde0", lw=4, solid_capstyle="butt")
        axes.plot([rho], [row], marker="o", ms=5, c="#2b6cb0")
    axes.axvline(0, c="#999999", lw=0.8)
    axes.set_xlim(-1.02, 1.02)
    axes.set_ylim(len(known) - 0.5, -0.5)
    axes.set_yticks(range(len(known)), [s.name for s in known], parse_math=False)
    label(axes, f"Spearman's ρ, 95 % interval (n = {known[0].correlation.n})", "")
    return figure
