"""The figure of the shares of options over time."""

from collections.abc import Sequence

from raynas.analysis import OptionShares
from raynas.views.figures.style import BLUE, INK, Figure, figure, label, line_at, plain, rows_height


def shares_figure(shares: Sequence[OptionShares]) -> Figure:
    """Draw a row for each option of each decision, and a column for each window of trials; darker is more frequent.

    Args:
        shares: of decisions, at least one, all in the same windows.
    """
    rows = [(s, i, option) for s in shares for i, option in enumerate(s.options)]
    columns = [str(w.first) if w.first == w.last else f"{w.first}–{w.last}" for w in shares[0].windows]
    heat = dict(
        type="heatmap",
        z=[[share[i] for share in s.shares] for s, i, _ in rows],
        x=columns,
        y=list(range(len(rows))),
        text=[[plain(f"{s.decision} = {option}", 80)] * len(columns) for s, _, option in rows],
        colorscale=[[0, "#f3f6f9"], [1, BLUE]],
        zmin=0,
        zmax=1,
        xgap=1,
        ygap=1,
        colorbar={"thickness": 8, "tickformat": ".0%", "len": 120, "lenmode": "pixels", "y": 1, "yanchor": "top"},
        hovertemplate="%{text}<br>trials %{x}: %{z:.0%}<extra></extra>",
    )
    texts = [label(f"{s.decision} = {option}") for s, _, option in rows]
    starts = [n for n, (_, i, _) in enumerate(rows) if i == 0][1:]
    return figure(
        [heat],
        x="trials",
        height=rows_height(len(rows), each=18),
        xaxis={"type": "category", "showgrid": False},
        yaxis={
            "tickvals": list(range(len(rows))),
            "ticktext": texts,
            "autorange": "reversed",
            "tickfont": {"size": 10},
        },
        shapes=[line_at("y", n - 0.5, {"color": INK, "width": 1}) for n in starts],
    )
