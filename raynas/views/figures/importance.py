"""The figure of the importance of decisions."""

from raynas.analysis import Importance
from raynas.views.figures.style import BLUE, Figure, figure, label, plain, rows_height

MAX_ROWS = 30
"""Maximum number of decisions that are drawn."""


def importance_figure(importance: Importance) -> Figure:
    """Draw a bar for each decision, most important first, with the standard deviation over refits.

    Args:
        importance: with at least one decision.
    """
    shown = importance.decisions[:MAX_ROWS]
    bars = dict(
        type="bar",
        x=[d.mean for d in shown],
        y=list(range(len(shown))),
        orientation="h",
        marker={"color": BLUE},
        error_x={"array": [d.spread for d in shown], "thickness": 1.2},
        text=[plain(d.name, 80) for d in shown],
        textposition="none",
        hovertemplate="%{text}: %{x:.3f}<extra></extra>",
    )
    title = f"share of the variance of {label(importance.metric)}"
    yaxis = {
        "tickvals": list(range(len(shown))),
        "ticktext": [label(d.name) for d in shown],
        "autorange": "reversed",
    }
    return figure([bars], x=title, height=rows_height(len(shown)), yaxis=yaxis)
