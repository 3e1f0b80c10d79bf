"""The content of a picture: boxes, arrows between them, panels. Layout and rendering are in the other modules."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from raynas.core.cell_graph import depths_of
from raynas.errors import RaynasError

Kind = Literal["input", "node", "output"]
"""Kind of a box, which decides its colour."""


@dataclass(frozen=True)
class Box:
    """A box with text.

    Args:
        name: unique in its picture.
        text: shown in the box, with line breaks; the name if None.
        kind: "input", "node" or "output", which differ in colour.
        panel: title of the panel that the box belongs to.
    """

    name: str
    text: str | None = None
    kind: Kind = "node"
    panel: str = ""

    @property
    def shown(self) -> str:
        """The text, or else the name."""
        return self.name if self.text is None else self.text


@dataclass(frozen=True)
class Arrow:
    """An arrow between two boxes of one panel.

    Args:
        source: name of the box it leaves.
        target: name of the box it enters.
        text: written on it.
        faint: drawn light, e.g. because nothing flows along it.
    """

    source: str
    target: str
    text: str = ""
    faint: bool = False


@dataclass(frozen=True)
class Picture:
    """Boxes, arrows between them, and panels one below the other.

    Args:
        boxes: laid out in this order wherever the arrows allow several.
        arrows: without a cycle; several may join the same two boxes.
        title: written above the picture.

    Raises:
        RaynasError: if there is no box, two have the same name, an arrow joins an unknown box or boxes of different
            panels, or arrows form a cycle.
    """

    boxes: Sequence[Box]
    arrows: Sequence[Arrow] = ()
    title: str = ""

    def __post_init__(self) -> None:
        panels = {box.name: box.panel for box in self.boxes}
        if not self.boxes or len(panels) < len(self.boxes):
            raise RaynasError(f"a picture needs boxes with different names, got {[box.name for box in self.boxes]}")
        box_depths(self.boxes, self.arrows)
        for arrow in self.arrows:
            if panels[arrow.source] != panels[arrow.target]:
                raise RaynasError(f"an arrow must stay in its panel, got {arrow.source!r} and {arrow.target!r}")


def box_depths(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> dict[str, int]:
    """Return the number of arrows on the longest path to each box, by name.

    Raises:
        RaynasError: if an arrow joins an unknown box, or there is a cycle.
    """
    return depths_of([box.name for box in boxes], [(arrow.source, arrow.target) for arrow in arrows])
