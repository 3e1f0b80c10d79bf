"""The figure of a Pareto front."""

import math
from collections.abc import Mapping
from typing import Any

from raynas.analysis import SEARCH, Front, Limit, TrialPoint
from raynas.views.figures.style import (
    GREEN,
    GREY,
    INK,
    MAX_SVG_POINTS,
    RED,
    STATUS_COLOURS,
    Figure,
    figure,
    is_wide,
    label,
    line_at,
    plain,
)

SHADES = ("#c9ced4", "#b4bbc3", "#9aa3ad", "#7f8a95", "#66727e")
"""Colours of earlier fronts, from the first to the last."""


def front_figure(front: Front, hover: Mapping[tuple[str, str], str] | None = None) -> Figure:
    """Draw trials by two metrics, the Pareto front of all, earlier fronts, limits and baseline.

    Each trace says its role in ``meta``: "points" (with the source and number of every trial in ``customdata``),
    "earlier", "front" or "baseline".

    Args:
        front: the data.
        hover: further lines to show of a trial, by source and trial, already plain.
    """
    groups: dict[tuple[str, str], list[TrialPoint]] = {}
    for point in sorted(front.points, key=lambda p: (p.source != SEARCH, p.is_candidate)):
        groups.setdefault((point.source, _name(point)), []).append(point)
    traces = [_points(points, name, hover or {}, front) for (_, name), points in groups.items()]
    traces += _earlier(front)
    traces += [_steps(front, front.front, "Pareto front", INK, 2, "front")] if front.front else []
    traces += _baseline(front)
    log = is_wide(point.x for point in front.points)
    return figure(
        traces,
        x=label(front.across.metric),
        y=label(front.up.metric),
        height=440,
        xaxis={"type": "log" if log else "linear"},
        shapes=[line_at(limit.axis, limit.value, limit_look(soft=limit.soft)) for limit in front.limits],
        annotations=[_note(limit, log=log) for limit in front.limits],
    )


def limit_look(*, soft: bool) -> dict[str, Any]:
    """Return the look of the line of a limit."""
    return {"color": RED, "width": 1.5, "dash": "dot" if soft else "dash"}


def limit_text(text: str) -> dict[str, Any]:
    """Return the text beside the line of a limit."""
    return {"text": plain(text, 40), "font": {"color": RED, "size": 10}, "showarrow": False}


def _note(limit: Limit, *, log: bool) -> dict[str, Any]:
    if limit.axis == "y":
        at = {"x": 1, "xref": "x domain", "xanchor": "right", "y": limit.value, "yanchor": "bottom"}
    else:
        x = math.log10(limit.value) if log and limit.value > 0 else limit.value
        at = {"x": x, "xanchor": "left", "y": 1, "yref": "y domain", "yanchor": "top"}
    return {**limit_text(limit.text), **at}


def _name(point: TrialPoint) -> str:
    ended = "finished" if point.is_candidate else "breaks a limit" if point.status == "finished" else point.status
    return ended if point.source == SEARCH else f"{point.source}, {ended}"


def _points(points: list[TrialPoint], name: str, hover: Mapping[tuple[str, str], str], front: Front) -> Any:
    first = points[0]
    colour = STATUS_COLOURS[first.status] if first.source == SEARCH else "#cc79a7"
    marker = {
        "color": GREY if first.status == "finished" and not first.complies else colour,
        "size": 8 if first.is_candidate else 6,
        "symbol": "circle" if first.is_candidate else "circle-open" if first.complies else "x-thin-open",
        "opacity": 0.75 if first.is_candidate else 0.5,
    }
    return dict(
        type="scattergl" if len(front.points) > MAX_SVG_POINTS else "scatter",
        x=[p.x for p in points],
        y=[p.y for p in points],
        mode="markers",
        name=plain(name, 40),
        marker=marker,
        meta="points",
        customdata=[[plain(p.source), p.number] for p in points],
        text=[_hover(p, hover) for p in points],
        hovertemplate=f"%{{text}}<br>{label(front.across.metric)} %{{x}}<br>{label(front.up.metric)} %{{y}}"
        "<extra></extra>",
    )


def _hover(point: TrialPoint, hover: Mapping[tuple[str, str], str]) -> str:
    who = f"trial {plain(point.trial, 40)}" + ("" if point.source == SEARCH else f" of {plain(point.source, 40)}")
    more = hover.get((point.source, point.trial), "")
    return f"<b>{who}</b>, {point.status}" + (f"<br>{more}" if more else "")


def _earlier(front: Front) -> list[Any]:
    """Return earlier fronts, at most as many as there are shades."""
    earlier = [f for f in front.over_time if f.points != front.front]
    step = -(-len(earlier) // len(SHADES)) or 1
    shown = earlier[::-1][::step][::-1]
    return [
        _steps(front, f.points, f"after {f.n_trials} trial{'s' if f.n_trials > 1 else ''}", colour, 1, "earlier")
        for f, colour in zip(shown, SHADES[-len(shown) :], strict=False)
    ]


def _steps(front: Front, points: tuple[tuple[float, float], ...], name: str, colour: str, width: int, role: str) -> Any:
    # Between two points of the front, the value that the worse of them in x offers is not yet to be had.
    return dict(
        type="scatter",
        x=[x for x, _ in points],
        y=[y for _, y in points],
        mode="lines+markers" if role == "front" else "lines",
        name=name,
        line={"color": colour, "width": width, "shape": "hv" if front.across.mode == "min" else "vh"},
        marker={"color": colour, "size": 5},
        meta=role,
        hoverinfo="name" if role == "earlier" else "skip",
    )


def _baseline(front: Front) -> list[Any]:
    x, y = front.baseline
    if x is None or y is None:
        return []
    look = {"symbol": "star", "size": 14, "color": GREEN, "line": {"color": "white", "width": 1}}
    return [dict(type="scatter", x=[x], y=[y], mode="markers", name="baseline", marker=look, meta="baseline")]
