"""Layout of boxes in rows, like words on a page: for a chain of boxes, or for boxes without arrows."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from raynas.drawing.panel import COLUMN_GAP, MAX_WIDTH, Line, Panel, Point, size_of
from raynas.drawing.picture import Arrow, Box


class _Spot(NamedTuple):
    """Position of a box: its centre, the row it is in, and the bottom of that row."""

    box: Box
    centre: Point
    row: int
    bottom: float


def is_chain(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> bool:
    """Return whether every arrow joins a box with the next one, has no text, and is the only one between the two."""
    neighbours = set(pairwise(box.name for box in boxes))
    ends = [(arrow.source, arrow.target) for arrow in arrows]
    return set(ends) <= neighbours and len(set(ends)) == len(ends) and not any(arrow.text for arrow in arrows)


def in_rows(title: str, boxes: Sequence[Box], arrows: Sequence[Arrow], max_width: float = MAX_WIDTH) -> Panel:
    """Lay boxes out in rows; an arrow into the next row runs between the two rows to its beginning."""
    rows = list(_rows(boxes, max_width))
    # Arrows into the next row need a gap at both sides.
    left = COLUMN_GAP if len(rows) > 1 else 0.0
    spots = {spot.box.name: spot for spot in _spots(rows, left)}
    lines = [Line(_bends(spots[arrow.source], spots[arrow.target]), arrow) for arrow in arrows]
    return Panel(title, {spot.box: spot.centre for spot in spots.values()}, lines)


def _rows(boxes: Sequence[Box], max_width: float) -> Iterator[list[Box]]:
    row: list[Box] = []
    used = 0.0
    for box in boxes:
        width = size_of(box)[0] + COLUMN_GAP
        if row and used + width > max_width:
            yield row
            row, used = [], 0.0
        row.append(box)
        used += width
    yield row


def _spots(rows: Sequence[Sequence[Box]], left: float) -> Iterator[_Spot]:
    top = 0.0
    for i, row in enumerate(rows):
        height, x = max(size_of(box)[1] for box in row), left
        for box in row:
            width = size_of(box)[0]
            yield _Spot(box, (x + width / 2, top + height / 2), i, top + height)
            x += width + COLUMN_GAP
        top += height + 2 * COLUMN_GAP


def _bends(source: _Spot, target: _Spot) -> list[Point]:
    """Return the points of an arrow: straight within a row, around the end of it otherwise."""
    (x0, y0), (x1, y1) = source.centre, target.centre
    start, stop = (x0 + size_of(source.box)[0] / 2, y0), (x1 - size_of(target.box)[0] / 2, y1)
    if source.row == target.row:
        return [start, stop]
    between = source.bottom + COLUMN_GAP
    right, left = start[0] + COLUMN_GAP / 2, stop[0] - COLUMN_GAP + 4
    return [start, (right, y0), (right, between), (left, between), (left, y1), stop]
