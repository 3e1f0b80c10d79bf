"""A table of numbers in [0, 1] as colours, with the numbers in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raynas.views.tensorboard.figures.canvas import FONT, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROW, _EDGES = 13.0, 62.0


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """A table.

    Args:
        title: above it.
        rows: names of the rows.
        columns: names of the columns.
        values: ``(n_rows, n_columns)``, in [0, 1].
        span: the values that are the lightest and the darkest.
        marked: the cells that have a frame.
        breaks: the rows that a line precedes.
        across: what the columns are.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    span: tuple[float, float] = (0.0, 1.0)
    marked: Sequence[tuple[int, int]] = ()
    breaks: Sequence[int] = ()
    across: str = ""


def heat_map(table: HeatMap) -> "Figure":
    """Draw a table; its height follows from the number of rows."""
    from matplotlib.patches import Rectangle

    slanted = max(map(len, table.columns)) * len(table.columns) > 44
    figure = new_figure(height=_EDGES + 24 * slanted + _ROW * len(table.rows))
    axes = figure.add_subplot()
    values, (low, high) = np.array(table.values, dtype=float), table.span
    digits = 0 if high - low > 0.1 else 1
    axes.imshow(values, cmap="Blues", vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(table.columns)), table.columns, fontsize=FONT - 1, parse_math=False)
    axes.tick_params(length=0)
    if slanted:
        for text in axes.get_xticklabels():
            text.set(rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(table.rows)), table.rows, fontsize=FONT - 1, parse_math=False)
    for i, j in np.ndindex(*values.shape):
        if round(100 * values[i, j], digits) > 0:
            shade = "white" if values[i, j] > low + 0.6 * (high - low) else "#333333"
            axes.text(
                j, i, f"{100 * values[i, j]:.{digits}f}", ha="center", va="center", fontsize=FONT - 2, color=shade
            )
    for i, j in table.marked:
        axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, ec="tab:orange", lw=1.6, clip_on=False))
    for i in table.breaks:
        axes.axhline(i - 0.5, color="#666666", lw=0.8)
    axes.set_title(table.title, fontsize=FONT, loc="left", parse_math=False)
    axes.set_xlabel(table.across, fontsize=FONT - 1, parse_math=False)
    for spine in axes.spines.values():
        spine.set_color("#bbbbbb")
    return figure
