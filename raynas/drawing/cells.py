"""Pictures of cells: states as boxes, operations as arrows, a panel for each cell."""

from collections.abc import Mapping, Sequence

from raynas.core.cell_graph import CellGraph, Role, State
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
        boxes += [Box(prefix + s.name, _text(s), _KINDS[s.role], cell.title) for s in cell.states]
        arrows += [Arrow(prefix + e.source, prefix + e.target, e.operation, e.is_zero) for e in cell.edges]
    return Picture(boxes, arrows, title)


def _text(state: State) -> str:
    return f"{state.shown}\n{state.operation}" if state.operation else state.shown
