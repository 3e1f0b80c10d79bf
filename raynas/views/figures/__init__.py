"""Figures of a search as interactive plots of plotly, made from ``raynas.analysis``.

Importing this package imports plotly, so import it where a figure is drawn.
"""

from raynas.views.figures.agreement import agreement_figure
from raynas.views.figures.correlations import correlations_figure
from raynas.views.figures.front import front_figure
from raynas.views.figures.history import history_figure, hypervolume_figure
from raynas.views.figures.importance import importance_figure
from raynas.views.figures.parallel import parallel_figure
from raynas.views.figures.shares import shares_figure
from raynas.views.figures.survival import survival_figure

__all__ = [
    "agreement_figure",
    "correlations_figure",
    "front_figure",
    "history_figure",
    "hypervolume_figure",
    "importance_figure",
    "parallel_figure",
    "shares_figure",
    "survival_figure",
]
