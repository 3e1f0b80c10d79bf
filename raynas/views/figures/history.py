"""Figures of the course of a search."""

from collections.abc import Sequence
from typing import Any

from raynas.analysis import History, HypervolumeHistory
from raynas.core.evaluation import Status
from raynas.views.figures.style import BLUE, INK, STATUS_COLOURS, Figure, figure, label, plain

SHOWN: tuple[Status, ...] = ("stopped", "finished")


def history_figure(history: History) -> Figure:
    """Draw every score, and the best so far, over the trials."""
    name = label(history.objective.metric)
    traces = [_scores(history, status, name) for status in SHOWN if status in history.statuses]
    best = [i for i, value in enumerate(history.best) if value is not None]
    traces.append(
        dict(
            type="scatter",
            x=[i + 1 for i in best],
            y=[history.best[i] for i in best],
            mode="lines",
            name="best so far",
            line={"color": INK, "width": 2, "shape": "hv"},
            text=[f"{history.seconds[i] / 3600:.3g} h computed" for i in best],
            hovertemplate="after %{x} trials: %{y}<br>%{text}<extra></extra>",
        )
    )
    return figure(traces, x="trials", y=name)


def _scores(history: History, status: Status, name: str) -> Any:
    at = [i for i, s in enumerate(history.statuses) if s == status and history.values[i] is not None]
    return dict(
        type="scatter",
        x=[i + 1 for i in at],
        y=[history.values[i] for i in at],
        mode="markers",
        name=status,
        marker={
            "color": STATUS_COLOURS[status],
            "size": 6,
            "opacity": 0.6,
            "symbol": _symbols([history.complies[i] for i in at]),
        },
        text=[plain(history.trials[i], 40) for i in at],
        hovertemplate=f"trial %{{text}}<br>{name} %{{y}}<extra>{status}</extra>",
    )


def _symbols(complies: Sequence[bool]) -> list[str]:
    return ["circle" if is_within else "x-thin-open" for is_within in complies]


def hypervolume_figure(history: HypervolumeHistory) -> Figure:
    """Draw the hypervolume so far over the trials."""
    line = dict(
        type="scatter",
        x=list(range(1, len(history.values) + 1)),
        y=list(history.values),
        mode="lines",
        line={"color": BLUE, "width": 2, "shape": "hv"},
        hovertemplate="after %{x} trials: %{y:.4g}<extra></extra>",
    )
    return figure([line], x="trials", y="hypervolume", height=300)
