"""Layout of boxes in layers from left to right, or top to bottom, by depth, with few crossings of arrows.

The layered layout of Sugiyama et al., "Methods for Visual Understanding of Hierarchical System Structures" (IEEE
Transactions on Systems, Man, and Cybernetics, 1981). An arrow that passes a layer, and the text on an arrow, take up a
slot in that layer, so that no line crosses a text and no two texts overlap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, pairwise

from raynas.drawing.panel import COLUMN_GAP, LINE, ROW_GAP, Line, Panel, Point, size_of, text_width
from raynas.drawing.picture import Arrow, Box, box_depths


@dataclass(eq=False)
class Slot:
    """A rectangle in a layer: a box, the text on an arrow, or an arrow that passes by.

    Args:
        layer: index of the layer, from the left.
        width: 0 for an arrow that passes by.
        height: of the rectangle.
        y: its centre.
        before: neighbours in the layer on the left.
        after: neighbours in the layer on the right.
    """

    layer: int
    width: float = 0.0
    height: float = 2.0
    y: float = 0.0
    before: list["Slot"] = field(default_factory=list)
    after: list["Slot"] = field(default_factory=list)

    @property
    def weight(self) -> int:
        """Weight of its position in the layout; high for an arrow that passes by, whose line should be straight."""
        return 1 if self.width else 6

    @property
    def wanted(self) -> float:
        """Weighted mean height of its neighbours."""
        around = self.before + self.after
        weights = [min(self.weight, other.weight) for other in around]
        return sum(w * other.y for w, other in zip(weights, around, strict=True)) / sum(weights) if around else self.y


def in_layers(title: str, boxes: Sequence[Box], arrows: Sequence[Arrow], *, down: bool = False) -> Panel:
    """Lay boxes out in layers by their depth, from left to right, or from top to bottom.

    The latter is computed as the former with the axes exchanged, and so are the names here.
    """
    depths = box_depths(boxes, arrows)
    last = max(depths.values())
    # Boxes are in every second layer; the layers between are for texts.
    layer = {b.name: 2 * (last if b.kind == "output" else depths[b.name]) for b in boxes}
    slots = {b.name: Slot(layer[b.name], *_turned(size_of(b), down)) for b in boxes}
    sizes = [_turned((text_width(arrow.text) + 6, LINE), down) if arrow.text else None for arrow in arrows]
    paths = [_path(slots[a.source], slots[a.target], size) for a, size in zip(arrows, sizes, strict=True)]
    layers = _sorted_layers([*slots.values(), *(slot for path in paths for slot in path[1:-1])])
    _set_heights(layers)
    columns = _columns(layers, ROW_GAP if down else COLUMN_GAP)
    centres = {box: _turned((sum(columns[slots[box.name].layer]) / 2, slots[box.name].y), down) for box in boxes}
    lines = [_line(arrow, path, columns) for arrow, path in zip(arrows, paths, strict=True)]
    return Panel(title, centres, [line.transposed if down else line for line in lines])


def _turned(point: Point, turn: bool) -> Point:
    return (point[1], point[0]) if turn else point


def _path(source: Slot, target: Slot, text_size: Point | None) -> list[Slot]:
    """Return the slots of an arrow, both ends included; its text is right before the target."""
    path = [source, *(Slot(layer) for layer in range(source.layer + 1, target.layer)), target]
    if text_size:
        path[-2].width, path[-2].height = text_size
    for slot, following in pairwise(path):
        slot.after.append(following)
        following.before.append(slot)
    return path


# --- order within a layer -------------------------------------------------------------------------------------------


def _sorted_layers(slots: Sequence[Slot]) -> list[list[Slot]]:
    """Return the layers in the order with the fewest crossings found by sorting slots by their neighbours' mean rank.

    Sweeps go forwards and backwards in turn.
    """
    ordered = sorted(slots, key=lambda slot: slot.layer)
    layers = [list(group) for _, group in groupby(ordered, key=lambda slot: slot.layer)]
    best, fewest = layers, _crossings(layers)
    for sweep in range(12):
        forward = sweep % 2 == 0
        layers = [list(layer) for layer in layers]
        for i in range(len(layers)) if forward else reversed(range(len(layers))):
            ranks = {slot: rank for layer in layers for rank, slot in enumerate(layer)}
            layers[i].sort(key=partial(_mean_rank, ranks=ranks, forward=forward))
        if (crossings := _crossings(layers)) < fewest:
            best, fewest = layers, crossings
    return best


def _crossings(layers: Sequence[Sequence[Slot]]) -> int:
    """Count the crossings of arrows between adjacent layers."""
    ranks = {slot: rank for layer in layers for rank, slot in enumerate(layer)}
    crossings = 0
    for layer in layers:
        ends = [(ranks[slot], ranks[following]) for slot in layer for following in slot.after]
        crossings += sum((a - c) * (b - d) < 0 for i, (a, b) in enumerate(ends) for c, d in ends[:i])
    return crossings


def _mean_rank(slot: Slot, ranks: Mapping[Slot, int], forward: bool) -> float:
    """Return the mean rank of the neighbours in the layer before, or after; without any, the slot's rank."""
    around = [ranks[neighbour] for neighbour in (slot.before if forward else slot.after)]
    return sum(around) / len(around) if around else ranks[slot]


# --- positions ------------------------------------------------------------------------------------------------------


def _set_heights(layers: Sequence[Sequence[Slot]]) -> None:
    """Move each slot towards its neighbours, as far as the order and the sizes allow; the top is 0."""
    for layer in layers:
        _settle(layer, [0.0] * len(layer))
    for sweep in range(24):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            _settle(layer, [slot.wanted for slot in layer])
    top = min(slot.y - slot.height / 2 for layer in layers for slot in layer)
    for layer in layers:
        for slot in layer:
            slot.y -= top


def _settle(layer: Sequence[Slot], wanted: Sequence[float]) -> None:
    """Put slots as close as possible to the wanted heights (least squares), each below the one before.

    With the sizes subtracted, this is isotonic regression: neighbours in the wrong order share their mean.
    """
    offsets = [0.0]
    for above, below in pairwise(layer):
        offsets.append(offsets[-1] + (above.height + below.height) / 2 + ROW_GAP)
    blocks: list[tuple[float, int, int]] = []
    for slot, y, offset in zip(layer, wanted, offsets, strict=True):
        mean, weight, size = y - offset, slot.weight, 1
        while blocks and blocks[-1][0] > mean:
            other, w, n = blocks.pop()
            mean, weight, size = (mean * weight + other * w) / (weight + w), weight + w, size + n
        blocks.append((mean, weight, size))
    free = (mean for mean, _, size in blocks for _ in range(size))
    for slot, y, offset in zip(layer, free, offsets, strict=True):
        slot.y = y + offset


def _columns(layers: Sequence[Sequence[Slot]], gap: float) -> dict[int, Point]:
    """Return the left and right end of each layer; lines bend only between layers."""
    columns: dict[int, Point] = {}
    left = 0.0
    for layer in layers:
        width = max(slot.width for slot in layer)
        columns[layer[0].layer] = (left, left + width)
        left += width + gap
    return columns


def _line(arrow: Arrow, path: Sequence[Slot], columns: Mapping[int, Point]) -> Line:
    first, last = path[0], path[-1]
    leaves, enters = _port(first, first.after, path[1]), _port(last, last.before, path[-2])
    x0, x1 = (sum(columns[slot.layer]) / 2 for slot in (first, last))
    points = [(x0 + first.width / 2, leaves), (columns[first.layer][1], leaves)]
    points += [(x, slot.y) for slot in path[1:-1] for x in columns[slot.layer]]
    points += [(columns[last.layer][0], enters), (x1 - last.width / 2, enters)]
    text_at = (sum(columns[path[-2].layer]) / 2, path[-2].y) if arrow.text else None
    return Line(list(dict.fromkeys(points)), arrow, text_at)


def _port(slot: Slot, neighbours: Sequence[Slot], neighbour: Slot) -> float:
    """Return the height at which an arrow meets the side of a box; arrows share the side in the order of their ends."""
    order = sorted(neighbours, key=lambda other: other.y)
    step = min(5.0, (slot.height - 8) / max(len(order) - 1, 1))
    return slot.y + step * (order.index(neighbour) - (len(order) - 1) / 2)
