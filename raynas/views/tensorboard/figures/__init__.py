"""Figures for the pages of TensorBoard, which show a picture about 350 pixels wide, and 320 by 215 in "Time Series".

Each is drawn for that size, at twice its resolution.
"""

from raynas.views.tensorboard.figures.canvas import as_png
from raynas.views.tensorboard.figures.drawings import drawings_of
from raynas.views.tensorboard.figures.front import front_figure
from raynas.views.tensorboard.figures.heat_map import HeatMap, heat_map
from raynas.views.tensorboard.figures.predictions import predictions_figure
from raynas.views.tensorboard.figures.ranks import fidelity_ranks_figure, score_ranks_figure
from raynas.views.tensorboard.figures.shares import shares_figures
from raynas.views.tensorboard.figures.survival import survival_figure

__all__ = [
    "HeatMap",
    "as_png",
    "drawings_of",
    "fidelity_ranks_figure",
    "front_figure",
    "heat_map",
    "predictions_figure",
    "score_ranks_figure",
    "shares_figures",
    "survival_figure",
]
