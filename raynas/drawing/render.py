"""A picture as an SVG or PNG file."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raynas.drawing.layers import in_layers
from raynas.drawing.panel import FONT, LINE, MARGIN, Line, Panel, Point, size_of, text_width
from raynas.drawing.picture import Box, Kind, Picture
from raynas.drawing.rows import in_rows, is_chain
from raynas.errors import RaynasError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path as Curve

_DPI = 160
_MAX_PIXELS = 2**15  # Agg draws no larger images than twice that.
_FACES: Mapping[Kind, str] = {"input": "#d9ead3", "node": "#dce6f5", "output": "#fde5cc"}
_INK, _GREY, _FAINT = "#222222", "#667788", "#c8ccd0"


def write(picture: Picture, path: str | Path) -> None:
    """Write a picture to a file.

    Args:
        picture: the content.
        path: the file, ending in .svg or .png; its folder must exist.

    Raises:
        RaynasError: if the file's name has another ending.
    """
    kind = Path(path).suffix.lower()
    if kind not in (".svg", ".png"):
        raise RaynasError(f"a picture must be a file that ends in .svg or .png, got {str(path)!r}")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawn = figure(picture)
    FigureCanvasAgg(drawn)
    dpi = min(_DPI, _MAX_PIXELS / max(drawn.get_size_inches()))
    drawn.savefig(path, format=kind[1:], dpi=dpi, metadata={"Date": None} if kind == ".svg" else None)


def figure(picture: Picture, frame: Point | None = None) -> "Figure":
    """Return a picture as a matplotlib figure, independent of pyplot and of any window.

    Args:
        picture: the content.
        frame: width and height, in points, that the picture should fit into if it can, and the width that it has at
            least; default as wide as a page.
    """
    from matplotlib.figure import Figure

    margin = MARGIN / 2 if frame else MARGIN
    top = LINE * 1.5 if picture.title else 0
    inside = (frame[0] - 2 * margin, frame[1] - top) if frame else None
    panels = [_panel(picture, title, inside) for title in dict.fromkeys(box.panel for box in picture.boxes)]
    needed = max([MARGIN * 4, text_width(picture.title), *(panel.width for panel in panels)]) + 2 * margin
    width = max(needed, frame[0]) if frame else needed
    height = top + sum(panel.height for panel in panels)
    drawn = Figure(figsize=(width / 72, height / 72))
    axes = drawn.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))  # in points, downwards
    axes.set_axis_off()
    if picture.title:
        _write_text(axes, margin, MARGIN / 2 + LINE / 2, picture.title, fontsize=FONT + 1, weight="bold")
    for panel in panels:
        _draw_panel(axes, panel, max(margin, (width - panel.width) / 2 if frame else 0), top)
        top += panel.height
    return drawn


def _panel(picture: Picture, title: str, frame: Point | None) -> Panel:
    """Lay a panel out: a chain in rows, any other graph in layers, in the direction that fits better into the frame."""
    boxes = [box for box in picture.boxes if box.panel == title]
    names = {box.name for box in boxes}
    arrows = [arrow for arrow in picture.arrows if arrow.source in names]
    if is_chain(boxes, arrows):
        return in_rows(title, boxes, arrows, *([frame[0]] if frame else []))
    across = in_layers(title, boxes, arrows)
    if frame is None or _scale(across, frame) >= 1:
        return across
    down = in_layers(title, boxes, arrows, down=True)
    return max((across, down), key=lambda panel: _scale(panel, frame))


def _scale(panel: Panel, frame: Point) -> float:
    """Return the factor by which a panel would have to be scaled to fit into the frame."""
    return min(frame[0] / panel.width, frame[1] / panel.height)


def _draw_panel(axes: "Axes", panel: Panel, left: float, top: float) -> None:
    """Draw a panel with its upper left corner at a point of the picture."""
    if panel.title:
        _write_text(axes, left, top + LINE, panel.title, fontsize=FONT + 0.5, color=_GREY, weight="bold")
    top += panel.title_height
    for line in sorted(panel.lines, key=lambda line: not line.arrow.faint):
        _draw_line(axes, line, left, top)
    for box, (x, y) in panel.boxes.items():
        _draw_box(axes, box, left + x, top + y)


def _draw_line(axes: "Axes", line: Line, left: float, top: float) -> None:
    from matplotlib.patches import FancyArrowPatch

    colour, ink, dashes = (_FAINT, _GREY, ":") if line.arrow.faint else (_GREY, _INK, "-")
    path = _smooth([(left + x, top + y) for x, y in line.points], down=line.down)
    head = "-|>,head_length=4,head_width=2"
    axes.add_patch(FancyArrowPatch(path=path, arrowstyle=head, color=colour, lw=1.1, shrinkA=0, shrinkB=0, ls=dashes))
    if line.text_at:
        x, y = line.text_at
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        _write_text(axes, left + x, top + y, line.arrow.text, ha="center", color=ink, bbox=paper)


def _draw_box(axes: "Axes", box: Box, x: float, y: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    width, height = size_of(box)
    corner = (x - width / 2 + 3, y - height / 2 + 3)
    axes.add_patch(FancyBboxPatch(corner, width - 6, height - 6, "round,pad=3", fc=_FACES[box.kind], ec=_GREY, lw=0.9))
    _write_text(axes, x, y, box.shown, ha="center", linespacing=LINE / FONT)


def _write_text(axes: "Axes", x: float, y: float, text: str, **style: Any) -> None:
    # No formulas: a "$" in a user's name is a letter.
    axes.text(x, y, text, parse_math=False, **{"va": "center", "color": _INK, "fontsize": FONT, **style})


def _smooth(points: Sequence[Point], *, down: bool) -> "Curve":
    """Return a path that is level in every point, or upright, so that a line enters and leaves slots straight."""
    from matplotlib.path import Path as Curve

    along = [(y, x) for x, y in points] if down else points
    vertices, codes = [along[0]], [Curve.MOVETO]
    for (x0, y0), (x1, y1) in pairwise(along):
        if y0 == y1 or x1 <= x0:
            vertices.append((x1, y1))
            codes.append(Curve.LINETO)
        else:
            middle = (x0 + x1) / 2
            vertices += [(middle, y0), (middle, y1), (x1, y1)]
            codes += [Curve.CURVE4] * 3
    return Curve([(y, x) for x, y in vertices] if down else vertices, codes)
