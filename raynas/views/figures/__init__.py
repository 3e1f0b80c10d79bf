"""Figures of a search as interactive plots, made from ``raynas.analysis``.

Each is what ``plotly.graph_objects.Figure`` is made of, a dict of "data" and "layout": a report stores that as it is,
which spares it plotly's own objects, slow to make of many points. ``ResultPlots`` makes a ``Figure`` of it.
"""

from raynas.views.figures.agreement import agreement_figure
from raynas.views.figures.correlations import correlations_figure
from raynas.views.figures.front import front_figure
from raynas.views.figures.history import history_figure, hypervolume_figure
from raynas.views.figures.importance import importance_figure
from raynas.views.figures.parallel import parallel_figure
from raynas.views.figures.shared_weights import option_weights_figure, shared_accuracy_figure
from raynas.views.figures.shares import shares_figure
from raynas.views.figures.survival import survival_figure

__all__ = [
    "agreement_figure",
    "correlations_figure",
    "front_figure",
    "history_figure",
    "hypervolume_figure",
    "importance_figure",
    "option_weights_figure",
    "parallel_figure",
    "shared_accuracy_figure",
    "shares_figure",
    "survival_figure",
]
