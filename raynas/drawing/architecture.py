"""The picture of an architecture: of its cells, of its network, or of its decisions."""

from collections.abc import Mapping
from pathlib import Path

import torch

from raynas.core.architecture import Option
from raynas.core.space import SearchSpace
from raynas.drawing.cells import cells_picture
from raynas.drawing.decisions import decisions_picture
from raynas.drawing.network import network_picture
from raynas.drawing.picture import Picture
from raynas.drawing.render import write
from raynas.nn.model_space import ModelSpace


def draw(space: SearchSpace, arch: Mapping[str, Option], path: str | Path) -> None:
    """Write a picture of an architecture.

    Args:
        space: the space of the architecture.
        arch: a member of it.
        path: the file, ending in .svg or .png; its folder must exist.

    Raises:
        SpaceError: if ``arch`` is not a member of the space.
        RaynasError: if the file's name has another ending.
    """
    write(picture_of(space, arch), path)


def picture_of(space: SearchSpace, arch: Mapping[str, Option]) -> Picture:
    """Return the picture of an architecture.

    It shows the cells if the space has any (``SearchSpace.cell_graphs``), the network block by block if the space is
    read off a model, and otherwise the decisions.

    Raises:
        SpaceError: if ``arch`` is not a member of the space.
    """
    if cells := space.cell_graphs(arch):
        return cells_picture(cells, title=space.name)
    if isinstance(space, ModelSpace):
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            undecided = space.factory()
        return network_picture(space, arch, undecided)
    return decisions_picture(space.canonical(arch), title=space.name)
