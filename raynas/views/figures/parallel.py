"""The figure of parallel coordinates."""

import math
from typing import Any

from raynas.analysis import Axis, ParallelCoordinates
from raynas.core.metric import Mode
from raynas.views.figures.style import Figure, figure, is_wide, plain

INACTIVE = -1.0
"""Position of a decision that is not active."""

AXIS_WIDTH = 84
"""Pixels that an axis needs to be read."""


def parallel_figure(found: ParallelCoordinates, mode: Mode = "max") -> Figure:
    """Draw a line for each trial across the decisions to the objective; drag along an axis to select lines.

    Args:
        found: with at least one trial.
        mode: direction of the objective; better trials are lighter.
    """
    dimensions = [_dimension(axis, [line[i] for line in found.lines]) for i, axis in enumerate(found.axes)]
    line = {"color": list(found.scores), "colorscale": "Viridis", "reversescale": mode == "min"}
    drawn = dict(
        type="parcoords",
        dimensions=dimensions,
        line=line,
        labelangle=-25,
        labelfont={"size": 11},
        tickfont={"size": 10},
        rangefont={"size": 1, "color": "rgba(0,0,0,0)"},
    )
    return figure([drawn], height=420, margin={"l": 92, "r": 40, "t": 100, "b": 20})


def _dimension(axis: Axis, values: list[float | None]) -> dict[str, Any]:
    name = plain(axis.name, 18)
    if axis.options:
        at = [INACTIVE if value is None else value for value in values]
        texts = [plain(option, 14) for option in axis.options]
        ticks = list(range(len(axis.options)))
        if INACTIVE in at:
            texts, ticks = ["–", *texts], [int(INACTIVE), *ticks]
        ends = [ticks[0], ticks[-1]]  # also of options that no line has
        return {"label": name, "values": at, "tickvals": ticks, "ticktext": texts, "range": ends}
    known = [value for value in values if value is not None]
    if is_wide(known):
        logs = [math.log10(value) if value else min(map(math.log10, known)) for value in values]
        return {"label": f"{name} (log)", "values": logs, **_log_ticks(logs)}
    return {"label": name, "values": [min(known, default=0.0) if value is None else value for value in values]}


def _log_ticks(logs: list[float]) -> dict[str, Any]:
    whole = range(math.ceil(min(logs)), math.floor(max(logs)) + 1)
    ticks = [float(tick) for tick in whole] or [min(logs), max(logs)]
    return {"tickvals": ticks, "ticktext": [f"{10**tick:.3g}" for tick in ticks]}
