"""A panel that is laid out: positions of boxes, and the points where lines bend. All lengths are in points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from raynas.drawing.picture import Arrow, Box

FONT = 9.0
LINE = 13.0
MARGIN = 16.0
COLUMN_GAP = 24.0
ROW_GAP = 9.0
MAX_WIDTH = 900.0
"""Width after which a row of boxes is broken."""

Point = tuple[float, float]


@lru_cache(maxsize=4096)
def text_width(text: str) -> float:
    """Return the width of the longest line of a text."""
    # Importing matplotlib takes a third of a second, which no search should pay before its first trial.
    from matplotlib.textpath import TextPath

    lines = [line for line in text.replace("$", "S").split("\n") if line.strip()]  # "$" is no formula
    return max((float(TextPath((0, 0), line, size=FONT).get_extents().width) for line in lines), default=0.0)


def size_of(box: Box) -> Point:
    """Return the width and height of a box."""
    return max(text_width(box.shown) + 14, 24), LINE * (box.shown.count("\n") + 1) + 10


@dataclass(frozen=True)
class Line:
    """An arrow that is laid out.

    Args:
        points: start, bends and end.
        arrow: gives text and style.
        text_at: centre of the text.
        down: whether it enters and leaves boxes vertically.
    """

    points: Sequence[Point]
    arrow: Arrow
    text_at: Point | None = None
    down: bool = False

    @property
    def transposed(self) -> "Line":
        """The line with its axes exchanged."""
        text_at = None if self.text_at is None else (self.text_at[1], self.text_at[0])
        return Line([(y, x) for x, y in self.points], self.arrow, text_at, not self.down)


@dataclass(frozen=True)
class Panel:
    """A panel that is laid out; the origin is its upper left corner.

    Args:
        title: written above it; empty for none.
        boxes: the centre of each.
        lines: the arrows.
    """

    title: str
    boxes: Mapping[Box, Point]
    lines: Sequence[Line]

    @property
    def width(self) -> float:
        """Width of the title, the boxes and the lines."""
        bends = [x for line in self.lines for x, _ in line.points]
        ends = [x + size_of(box)[0] / 2 for box, (x, _) in self.boxes.items()]
        texts = [line.text_at[0] + text_width(line.arrow.text) / 2 for line in self.lines if line.text_at]
        return max([text_width(self.title), *bends, *ends, *texts])

    @property
    def height(self) -> float:
        """Height of the title, and of the boxes, lines and texts below it."""
        texts = [line.text_at[1] + LINE / 2 for line in self.lines if line.text_at]
        bends = [y + 4 for line in self.lines for _, y in line.points]
        ends = [y + size_of(box)[1] / 2 for box, (_, y) in self.boxes.items()]
        return max([*bends, *ends, *texts]) + self.title_height + MARGIN

    @property
    def title_height(self) -> float:
        """Space above the boxes."""
        return 2 * LINE if self.title else MARGIN
