"""Pictures of cells: states as boxes, operations as arrows, a panel for each cell."""

from collections.abc import Mapping, Sequence

from raynas.core.cell_graph import CellGraph, Role
from raynas.drawing.picture import Arrow, Box, Kind, Picture

_KINDS: Mapping[Role, Kind] = {"input": "input", "inner": "node", "output": "output"}


def cells_picture(cells: Sequence[CellGraph], title: str = "") -> Picture:
    """Return a picture of cells; edges of zeros are faint.

    Args:
        cells: with different titles, which become those of the panels.
        title: of the whole picture.
    """
    boxes: list[Box] = []
    arrows: list[Arrow] = []
    for cell in cells:
        prefix = f"{cell.title}." if cell.title else ""
        for state in cell.states:
            text = f"{state.shown}\n{state.operation}" if state.operation else state.shown
            boxes.append(Box(prefix + state.name, text, _KINDS[state.role], cell.title))
        arrows += [Arrow(prefix + e.source, prefix + e.target, e.operation, e.is_zero) for e in cell.edges]
    return Picture(boxes, arrows, title)
