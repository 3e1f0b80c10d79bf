"""What a picture shows: boxes, arrows between them, panels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from raynas.errors import RaynasError

Kind = Literal["input", "node", "output"]
"""What a node is; each kind has its colour."""


@dataclass(frozen=True)
class Node:
    """A box of a graph.

    Args:
        name: unique in its graph.
        text: what is written in the box, several lines if it holds line breaks; the name if None.
        kind: "input", "node" or "output", which differ in colour.
        panel: title of the part of the picture that the node stands in.
        operation: what it does with what enters it, for ``OperationGraph``; empty if it only joins it.
    """

    name: str
    text: str | None = None
    kind: Kind = "node"
    panel: str = ""
    operation: str = ""

    @property
    def shown(self) -> str:
        """What is written in the box."""
        return self.name if self.text is None else self.text


@dataclass(frozen=True)
class Edge:
    """An arrow between two nodes of one panel.

    Args:
        source: name of the node it leaves.
        target: name of the node it enters.
        text: what is written on it.
        faint: drawn light, e.g. because it carries nothing.
    """

    source: str
    target: str
    text: str = ""
    faint: bool = False


@dataclass(frozen=True)
class Graph:
    """What a picture shows: nodes, arrows between them, panels one below the other.

    Args:
        nodes: in the order in which they are laid out where the arrows leave it open.
        edges: without a cycle; two nodes may be joined several times.
        title: stands above the picture.

    Raises:
        RaynasError: if there is no node, two have the same name, an edge joins what is not there or lies in different
            panels, or edges form a cycle.
    """

    nodes: Sequence[Node]
    edges: Sequence[Edge] = field(default=())
    title: str = ""

    def __post_init__(self) -> None:
        panels = {node.name: node.panel for node in self.nodes}
        if not self.nodes or len(panels) < len(self.nodes):
            raise RaynasError(f"a graph needs nodes with different names, got {[node.name for node in self.nodes]}")
        for edge in self.edges:
            if edge.source not in panels or edge.target not in panels:
                raise RaynasError(f"an edge must join two nodes of its graph, got {edge.source!r} and {edge.target!r}")
            if panels[edge.source] != panels[edge.target]:
                raise RaynasError(f"an edge must stay in its panel, got {edge.source!r} and {edge.target!r}")
        depths_of([node.name for node in self.nodes], self.edges)


def decision_graph(options: Mapping[str, object], title: str = "") -> Graph:
    """A picture of decisions alone: a box for those with the same prefix, numbered boxes one after another.

    Args:
        options: what was decided, by dotted name, e.g. ``{"depth": 2, "layers.0.op": "conv", "layers.1.op": "pool"}``.
        title: stands above the picture.

    Raises:
        RaynasError: if there is nothing.
    """
    boxes: dict[str, list[str]] = {}
    for name, option in options.items():
        prefix, _, last = name.rpartition(".")
        boxes.setdefault(prefix, []).append(f"{last} = {option}")
    nodes = [Node(prefix, "\n".join([prefix, *lines] if prefix else lines)) for prefix, lines in boxes.items()]
    edges = [Edge(first, second) for first, second in pairwise(boxes) if _stem(first) == _stem(second) != ""]
    return Graph(nodes, edges, title)


def _stem(name: str) -> str:
    """What numbered siblings have in common; empty for a name that ends in no number."""
    stem, _, number = name.rpartition(".")
    return stem if number.isdigit() else ""


def depths_of(nodes: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """Length of the longest way to each node.

    Raises:
        RaynasError: if there is a cycle.
    """
    depths = dict.fromkeys(nodes, 0)
    for _ in range(len(nodes) + 1):
        longer = {e.target: depths[e.source] + 1 for e in edges if depths[e.target] <= depths[e.source]}
        if not longer:
            return depths
        depths |= longer
    raise RaynasError(f"the edges of a graph must not form a cycle, got one through {sorted(longer)}")
