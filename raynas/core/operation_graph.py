"""OperationGraph: what a network computes, as predictors on graphs see it: operations, and where their outputs go.

Operations as nodes is the view of Ying et al., "NAS-Bench-101" (ICML 2019, arXiv:1902.09635); White et al., "A Study on
Encodings for Neural Architecture Search" (NeurIPS 2020, arXiv:2007.04965), compare it with others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from raynas.drawing import Edge, Graph, Node
from raynas.drawing.graph import depths_of
from raynas.errors import RaynasError


@dataclass(frozen=True)
class OperationGraph:
    """Operations, and which of them takes the output of which.

    Args:
        labels: what each node does; equal labels, equal operations.
        edges: (source, target) by position in ``labels``, each from a lower to a higher one; at most once.

    Raises:
        RaynasError: if there is no node, or an edge comes twice, leads backwards, or joins what is not there.
    """

    labels: Sequence[str]
    edges: Sequence[tuple[int, int]] = ()

    def __post_init__(self) -> None:
        if not self.labels:
            raise RaynasError("a graph of operations needs a node")
        if len(set(self.edges)) < len(self.edges):
            raise RaynasError(f"an edge must come once, got {list(self.edges)}")
        for source, target in self.edges:
            if not 0 <= source < target < len(self.labels):
                raise RaynasError(
                    f"an edge must lead from a lower to a higher of the {len(self.labels)} nodes, got {source, target}"
                )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def sources(self) -> list[list[int]]:
        """Whose outputs each node takes."""
        found: list[list[int]] = [[] for _ in self.labels]
        for source, target in self.edges:
            found[target].append(source)
        return found

    @property
    def targets(self) -> list[list[int]]:
        """Which nodes take the output of each."""
        found: list[list[int]] = [[] for _ in self.labels]
        for source, target in self.edges:
            found[source].append(target)
        return found

    @classmethod
    def chain(cls, labels: Sequence[str]) -> "OperationGraph":
        """One after another."""
        return cls(tuple(labels), tuple(pairwise(range(len(labels)))))

    @classmethod
    def of_picture(cls, picture: Graph) -> "OperationGraph":
        """Read a picture whose arrows have an operation written on them: those become nodes.

        Inputs and outputs stay; a node that only joins what enters it is left out, and what enters it is joined with
        what leaves it; faint arrows, and all that does not lie between an input and an output, are gone. Where there
        are several panels, each is a part of its own and its title stands before its labels.
        """
        several = len({node.panel for node in picture.nodes}) > 1
        labels: list[str] = []
        edges: list[tuple[int, int]] = []
        outputs_of: dict[str, list[int]] = {}
        ends: list[int] = []

        def add(label: str, panel: str, sources: Sequence[int]) -> int:
            edges.extend((source, len(labels)) for source in dict.fromkeys(sources))
            labels.append(f"{panel}: {label}" if several else label)
            return len(labels) - 1

        for node, entering in _in_order(picture):
            sources = [
                place
                for edge in entering
                for place in (
                    [add(edge.text, node.panel, outputs_of[edge.source])] if edge.text else outputs_of[edge.source]
                )
            ]
            label = node.operation or (node.shown if node.kind != "node" else "")
            outputs_of[node.name] = [add(label, node.panel, sources)] if label else sources
            if node.kind != "node":
                ends += outputs_of[node.name]
        return _pruned(labels, edges, set(ends))


def _in_order(picture: Graph) -> Iterator[tuple[Node, list[Edge]]]:
    """The nodes, each after those it takes something from, with the arrows that enter it."""
    depths = depths_of([node.name for node in picture.nodes], picture.edges)
    for node in sorted(picture.nodes, key=lambda node: depths[node.name]):
        yield node, [edge for edge in picture.edges if edge.target == node.name and not edge.faint]


def _pruned(labels: Sequence[str], edges: Sequence[tuple[int, int]], ends: set[int]) -> OperationGraph:
    """What lies between two of the ends, and the ends."""
    fed, used = set(ends), set(ends)
    for source, target in edges:  # in the order of their targets
        if source in fed:
            fed.add(target)
    for source, target in sorted(edges, reverse=True):
        if target in used:
            used.add(source)
    kept = {place: i for i, place in enumerate(sorted(fed & used))}
    inside = ((kept[s], kept[t]) for s, t in edges if s in kept and t in kept)
    return OperationGraph(tuple(labels[place] for place in kept), tuple(sorted(inside)))
