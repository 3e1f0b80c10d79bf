"""Checks that a picture can be read: no overlaps, no line across a text."""

from itertools import combinations, pairwise

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from raynas.drawing import Picture, figure


def rendered(picture: Picture) -> tuple[list[tuple[str, Bbox]], list[Bbox], list[FancyArrowPatch]]:
    """The texts with where they are, the boxes, the arrows."""
    drawn = figure(picture)
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    renderer = canvas.get_renderer()
    (axes,) = drawn.axes
    texts = [(t.get_text(), t.get_window_extent(renderer)) for t in axes.texts]
    boxes = [p.get_window_extent(renderer) for p in axes.patches if isinstance(p, FancyBboxPatch)]
    return texts, boxes, [p for p in axes.patches if isinstance(p, FancyArrowPatch)]


def points_of(arrow: FancyArrowPatch) -> NDArray[np.float64]:
    """Points on an arrow's line, a pixel or less apart."""
    assert arrow.axes
    lines = arrow.axes.transData.transform_path(arrow.get_path()).to_polygons(closed_only=False)
    bends = np.asarray(lines[0], dtype=np.float64)  # the others are the head
    return np.concatenate([np.linspace(a, b, 2 + int(np.abs(b - a).max())) for a, b in pairwise(bends)])


def overlap(first: Bbox, second: Bbox) -> bool:
    """Whether two boxes share more than a hair."""
    common = Bbox.intersection(first, second)
    return common is not None and common.width > 0.5 and common.height > 0.5


def assert_legible(picture: Picture) -> None:
    texts, boxes, arrows = rendered(picture)
    for (first, at), (second, there) in combinations(texts, 2):
        assert not overlap(at, there), (first, second)
    for at, there in combinations(boxes, 2):
        assert not overlap(at, there)
    inside = {text: at for text, at in texts}
    for box in picture.boxes:
        text = inside[box.shown]
        assert any(at.contains(*text.min) and at.contains(*text.max) for at in boxes)
    edge_texts = [(text, at) for text, at in texts if text in {arrow.text for arrow in picture.arrows}]
    assert len(edge_texts) >= sum(bool(arrow.text) for arrow in picture.arrows)
    for line in map(points_of, arrows):
        assert sum(crosses(line, at) for _, at in edge_texts) <= 1, "a line may cross no text but its own"
        assert not any(crosses(line, box) for box in boxes), "a line may cross no box"


def crosses(line: NDArray[np.float64], box: Bbox) -> bool:
    return bool(np.any(np.all((line > np.add(box.min, 2)) & (line < np.subtract(box.max, 2)), axis=1)))
