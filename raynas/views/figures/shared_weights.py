"""Figures of the training of shared weights."""

from raynas.analysis import SharedWeights
from raynas.views.figures.option_rows import option_rows
from raynas.views.figures.style import BLUE, Figure, figure

MAX_COLUMNS = 60
"""Maximum number of epochs in a heat map, evenly spread, the last one included."""


def option_weights_figure(trained: SharedWeights) -> Figure:
    """Draw the weight of each option of each decision over the epochs; the largest of all is darkest.

    Args:
        trained: by a differentiable method.
    """
    n = len(trained.epochs)
    shown = sorted({round((n - 1) * i / max(1, min(n, MAX_COLUMNS) - 1)) for i in range(min(n, MAX_COLUMNS))})
    rows = [(o.decision, o.options, [o.weights[i] for i in shown]) for o in trained.options]
    values = [v for _, _, columns in rows for column in columns for v in column if v is not None]
    span = (min(values), max(values))  # weights that begin equal differ by little for long
    return option_rows(rows, [str(trained.epochs[i]) for i in shown], "epochs", ".3f", span)


def shared_accuracy_figure(trained: SharedWeights) -> Figure:
    """Draw the validation accuracy with shared weights over the epochs."""
    known = [i for i, accuracy in enumerate(trained.accuracy) if accuracy is not None]
    line = dict(
        type="scatter",
        x=[trained.epochs[i] for i in known],
        y=[trained.accuracy[i] for i in known],
        mode="lines+markers",
        line={"color": BLUE, "width": 2},
        hovertemplate="after %{x} epochs: %{y:.4g}<extra></extra>",
    )
    return figure([line], x="epochs", y="accuracy", height=260)
