"""The figure of predicted against measured values."""

from raynas.analysis import CheapScore
from raynas.views.figures.style import BLUE, GREY, Figure, figure, label, plain


def agreement_figure(score: CheapScore) -> Figure:
    """Draw a cheap score against the score that it replaces in the search, with the line on which both are equal.

    Args:
        score: with at least one pair.
    """
    ends = [min(map(min, score.pairs)), max(map(max, score.pairs))]
    equal = dict(type="scatter", x=ends, y=ends, mode="lines", name="equal", line={"color": GREY, "dash": "dash"})
    points = dict(
        type="scatter",
        x=[x for x, _ in score.pairs],
        y=[y for _, y in score.pairs],
        mode="markers",
        name=plain(f"rank correlation {score.correlation}"),
        marker={"color": BLUE, "size": 8, "opacity": 0.75},
        text=[plain(trial, 40) for trial in score.trials],
        hovertemplate="trial %{text}<br>%{x} and then %{y}<extra></extra>",
    )
    return figure([equal, points], x=label(score.name), y=label(score.against), height=340)
