"""The look that all figures share."""

import html
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from raynas.core.evaluation import Status

Figure = dict[str, Any]
"""Content of a ``plotly.graph_objects.Figure``."""

NOTHING: Mapping[str, Any] = MappingProxyType({})

BLUE, ORANGE, RED, GREEN, GREY, INK = "#0072b2", "#e69f00", "#d55e00", "#009e73", "#8a94a0", "#222222"
"""Colours that colour-blind readers can tell apart (Okabe and Ito 2008)."""

STATUS_COLOURS: dict[Status, str] = {"finished": BLUE, "stopped": ORANGE, "failed": RED}

MAX_LABEL = 28
"""Maximum number of characters of a label; a phone has room for no more."""

ROOM_ABOVE = 36
"""Pixels above a plot: plotly's buttons would cover what is there."""

MAX_SVG_POINTS = 3000
"""Number of points beyond which a plot is drawn by WebGL, which is faster and less sharp."""


def plain(text: object, most: int | None = None) -> str:
    """Return a text that plotly shows as it is: names from an archive are not to be read as its markup.

    Args:
        text: the text.
        most: maximum number of characters, beyond which its middle is cut out.
    """
    shown = str(text)
    if most and len(shown) > most:
        shown = f"{shown[: most // 2 - 1]}…{shown[-(most - most // 2) :]}"
    return html.escape(shown, quote=False)


def label(text: object) -> str:
    """Return a text as a label of an axis or a tick."""
    return plain(text, MAX_LABEL)


def figure(
    traces: Iterable[Any],
    *,
    x: str = "",
    y: str = "",
    height: int = 380,
    xaxis: Mapping[str, Any] = NOTHING,
    yaxis: Mapping[str, Any] = NOTHING,
    **layout: Any,
) -> Figure:
    """Return a figure in the look of all.

    Args:
        traces: of plotly.
        x: title of the horizontal axis.
        y: title of the vertical axis.
        height: in pixels; the width is that of the page.
        xaxis: further settings of the horizontal axis.
        yaxis: further settings of the vertical axis.
        layout: further settings of plotly's layout.
    """
    axis = {"gridcolor": "#e4e8ec", "zeroline": False, "linecolor": GREY, "ticks": "outside", "automargin": True}
    look: dict[str, Any] = {
        "height": height,
        "margin": {"l": 54, "r": 14, "t": ROOM_ABOVE, "b": 46},
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": INK},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 11}},
        "hoverlabel": {"align": "left", "bgcolor": "white", "font": {"size": 11, "color": INK}},
        "hovermode": "closest",
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "xaxis": {**axis, "title": {"text": x, "standoff": 8}, **xaxis},
        "yaxis": {**axis, "title": {"text": y, "standoff": 8}, **yaxis},
    }
    return {"data": list(traces), "layout": {**look, **layout}}


def line_at(axis: str, value: float, look: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line across the plot.

    Args:
        axis: "x" for a vertical line, "y" for a horizontal one.
        value: its position on that axis.
        look: colour, width and dashes.
    """
    other = "y" if axis == "x" else "x"
    ends = {f"{axis}0": value, f"{axis}1": value, f"{other}0": 0, f"{other}1": 1, f"{other}ref": f"{other} domain"}
    return {"type": "line", "line": dict(look), **ends}


def rows_height(n_rows: int, each: int = 22, least: int = 160) -> int:
    """Return the height of a figure that has a line for each of many things."""
    return max(least, 66 + ROOM_ABOVE + each * n_rows)


def is_wide(values: Iterable[float]) -> bool:
    """Return whether values span so many orders that a logarithmic axis shows them better."""
    found = list(values)
    return bool(found) and 0 < 10 * min(found) <= max(found)
