"""The figure of the rank correlations of cheap scores."""

from collections.abc import Sequence

from raynas.analysis import CheapScore
from raynas.views.figures.style import BLUE, GREEN, GREY, ORANGE, Figure, figure, label, line_at, plain, rows_height

COLOURS = {"fidelity": BLUE, "zero-cost": GREEN, "stage": ORANGE, "predicted": "#cc79a7"}


def correlations_figure(scores: Sequence[CheapScore]) -> Figure:
    """Draw Spearman's correlation of each cheap score with the final one, and its 95 % interval.

    Args:
        scores: at least one; those whose correlation is unknown have no point.
    """
    traces = []
    for kind, colour in COLOURS.items():
        at = [n for n, s in enumerate(scores) if s.kind == kind and s.correlation.rho is not None]
        found = [scores[n].correlation for n in at]
        if at:
            above = [0.0 if c.high is None or c.rho is None else c.high - c.rho for c in found]
            below = [0.0 if c.low is None or c.rho is None else c.rho - c.low for c in found]
            traces.append(
                dict(
                    type="scatter",
                    x=[c.rho for c in found],
                    y=at,
                    mode="markers",
                    name=kind,
                    marker={"color": colour, "size": 9},
                    error_x={"array": above, "arrayminus": below, "color": colour, "thickness": 1.5},
                    text=[plain(f"{scores[n].name} against {scores[n].against}: {scores[n].correlation}") for n in at],
                    hovertemplate="%{text}<extra></extra>",
                )
            )
    texts = [label(s.name) for s in scores]
    return figure(
        traces,
        x="rank correlation",
        height=rows_height(len(scores)),
        xaxis={"range": [-1.05, 1.05]},
        yaxis={"tickvals": list(range(len(scores))), "ticktext": texts, "range": [len(scores) - 0.5, -0.5]},
        shapes=[line_at("x", 0, {"color": GREY, "width": 1})],
    )
