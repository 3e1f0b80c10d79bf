"""A heat map with a row for each option of each decision."""

from collections.abc import Sequence
from typing import Any

from raynas.views.figures.style import BLUE, INK, Figure, figure, label, line_at, plain, rows_height

Rows = Sequence[tuple[str, Sequence[Any], Sequence[Sequence[float | None]]]]
"""Decisions, each with its options and their values, ``(n_columns, n_options)``, in [0, 1]; None leaves a gap."""


def option_rows(
    decisions: Rows, columns: Sequence[str], over: str, value_format: str, span: tuple[float, float] = (0, 1)
) -> Figure:
    """Draw values of options over time; darker is more.

    Args:
        decisions: at least one.
        columns: titles of the columns.
        over: title of the horizontal axis.
        value_format: of a value, as plotly writes it.
        span: values of the lightest and the darkest colour.
    """
    rows = [
        (decision, i, option, values) for decision, options, values in decisions for i, option in enumerate(options)
    ]
    heat = dict(
        type="heatmap",
        z=[[column[i] for column in values] for _, i, _, values in rows],
        x=list(columns),
        y=list(range(len(rows))),
        text=[[plain(f"{decision} = {option}", 80)] * len(columns) for decision, _, option, _ in rows],
        colorscale=[[0, "#f3f6f9"], [1, BLUE]],
        zmin=span[0],
        zmax=span[1],
        xgap=1,
        ygap=1,
        colorbar={
            "thickness": 8,
            "tickformat": value_format,
            "len": 120,
            "lenmode": "pixels",
            "y": 1,
            "yanchor": "top",
        },
        hovertemplate=f"%{{text}}<br>{over} %{{x}}: %{{z:{value_format}}}<extra></extra>",
    )
    starts = [n for n, (_, i, _, _) in enumerate(rows) if i == 0][1:]
    return figure(
        [heat],
        x=over,
        height=rows_height(len(rows), each=18),
        xaxis={"type": "category", "showgrid": False},
        yaxis={
            "tickvals": list(range(len(rows))),
            "ticktext": [label(f"{decision} = {option}") for decision, _, option, _ in rows],
            "autorange": "reversed",
            "tickfont": {"size": 10},
        },
        shapes=[line_at("y", n - 0.5, {"color": INK, "width": 1}) for n in starts],
    )
