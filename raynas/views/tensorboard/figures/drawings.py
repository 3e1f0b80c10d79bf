"""The best architectures, drawn: a picture for each cell, or of the whole network."""

from dataclasses import replace
from typing import TYPE_CHECKING

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.drawing import Picture, figure, picture_of
from raynas.views.tensorboard.figures.canvas import DPI, HEIGHT, WIDTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def drawings_of(space: SearchSpace, arch: Architecture, title: str) -> "dict[str, Figure]":
    """Draw an architecture.

    Args:
        space: of the architecture.
        arch: the architecture.
        title: above each picture.

    Returns:
        Pictures by the names of their parts; "" for that of the whole.
    """
    picture = picture_of(space, arch)
    panels = list(dict.fromkeys(box.panel for box in picture.boxes))
    if len(panels) == 1 or "network" in panels:  # a network, and the decisions that belong to no part of it
        return {"": _figure(replace(picture, title=title))}
    return {panel: _figure(_part(picture, panel, title)) for panel in panels}


def _part(picture: Picture, panel: str, title: str) -> Picture:
    boxes = [box for box in picture.boxes if box.panel == panel]
    names = {box.name for box in boxes}
    return Picture(boxes, [arrow for arrow in picture.arrows if arrow.source in names], title)


def _figure(picture: Picture) -> "Figure":
    drawn = figure(picture, (WIDTH, HEIGHT))
    drawn.set_dpi(DPI)
    return drawn
