"""Pictures of decisions, for spaces that are neither cells nor read off a model."""

from collections.abc import Mapping
from itertools import pairwise

from raynas.drawing.picture import Arrow, Box, Picture


def decisions_picture(options: Mapping[str, object], title: str = "") -> Picture:
    """Return a picture of decisions: one box for each prefix of their names, numbered boxes joined by arrows.

    Args:
        options: by dotted name, e.g. ``{"depth": 2, "layers.0.op": "conv", "layers.1.op": "pool"}``.
        title: of the picture.

    Raises:
        RaynasError: if there is no decision.
    """
    lines: dict[str, list[str]] = {}
    for name, option in options.items():
        prefix, _, last = name.rpartition(".")
        lines.setdefault(prefix, []).append(f"{last} = {option}")
    boxes = [Box(prefix, "\n".join([prefix, *text] if prefix else text)) for prefix, text in lines.items()]
    arrows = [Arrow(first, second) for first, second in pairwise(lines) if _stem(first) == _stem(second) != ""]
    return Picture(boxes, arrows, title)


def _stem(name: str) -> str:
    """Return the common prefix of numbered siblings; empty for a name that does not end in a number."""
    stem, _, number = name.rpartition(".")
    return stem if number.isdigit() else ""
