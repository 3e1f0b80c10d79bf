"""A figure of the size at which TensorBoard shows pictures."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 340.0, 228.0
"""Size of a picture in points; TensorBoard shows a point as about a pixel."""

FONT = 9.0

DPI = 144
_BLUE, _INK = "#2b6cb0", "#222222"


def new_figure(width: float = WIDTH, height: float = HEIGHT) -> "Figure":
    """Return an empty figure, independent of pyplot, whose state is global."""
    # Importing matplotlib takes a third of a second, which no search should pay before its first trial.
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 72, height / 72), dpi=DPI, layout="constrained")


def new_axes(title: str = "", *, height: float = HEIGHT) -> "tuple[Figure, Axes]":
    """Return a figure with one plot, its text large enough to be read."""
    figure = new_figure(height=height)
    axes = figure.add_subplot()
    axes.tick_params(labelsize=FONT, color="#999999")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(color="#e8e8e8", lw=0.7)
    axes.set_axisbelow(True)
    if title:
        axes.set_title(title, fontsize=FONT, loc="left", color=_INK, parse_math=False)
    return figure, axes


def label(axes: "Axes", across: str, up: str) -> None:
    """Write the names of the axes."""
    axes.set_xlabel(across, fontsize=FONT, parse_math=False)
    axes.set_ylabel(up, fontsize=FONT, parse_math=False)


def legend_above(figure: "Figure", axes: "Axes", columns: int = 4) -> None:
    """Explain the marks in rows above the plot, where they hide nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(
            handles,
            labels,
            loc="outside upper center",
            ncols=columns,
            fontsize=FONT - 1,
            frameon=False,
            handlelength=1.2,
            handletextpad=0.4,
            columnspacing=0.9,
            borderpad=0.1,
        )


def as_png(figure: "Figure") -> tuple[bytes, tuple[int, int]]:
    """Return a figure as the content of a PNG file, and its width and height in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    png = io.BytesIO()
    canvas.print_png(png)
    return png.getvalue(), canvas.get_width_height()
