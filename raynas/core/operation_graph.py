"""OperationGraph: a network as graph predictors see it, with operations as nodes and edges for the flow of outputs.

Operations as nodes is the view of Ying et al., "NAS-Bench-101" (ICML 2019, arXiv:1902.09635); White et al., "A Study on
Encodings for Neural Architecture Search" (NeurIPS 2020, arXiv:2007.04965), compare it with others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from raynas.core.cell_graph import CellGraph, State
from raynas.errors import RaynasError


@dataclass(frozen=True)
class OperationGraph:
    """Operations, and the edges along which their outputs flow.

    Args:
        labels: names of the operations, one for each node; equal labels, equal operations.
        edges: (source, target) by index into ``labels``, each from a lower to a higher index and only once.

    Raises:
        RaynasError: if there is no node, or an edge is repeated, leads backwards, or joins an unknown node.
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
        """The predecessors of each node."""
        found: list[list[int]] = [[] for _ in self.labels]
        for source, target in self.edges:
            found[target].append(source)
        return found

    @property
    def targets(self) -> list[list[int]]:
        """The successors of each node."""
        found: list[list[int]] = [[] for _ in self.labels]
        for source, target in self.edges:
            found[source].append(target)
        return found

    @classmethod
    def chain(cls, labels: Sequence[str]) -> "OperationGraph":
        """Return a graph in which each node feeds the next one."""
        return cls(tuple(labels), tuple(pairwise(range(len(labels)))))

    @classmethod
    def of_cells(cls, cells: Sequence[CellGraph], *, pruned: bool = True) -> "OperationGraph":
        """Turn the operations on the edges of cells into nodes.

        Inputs and outputs stay nodes. A state that sums what enters it has no node: its predecessors are joined with
        its successors. Edges of zeros are dropped, and every node that is on no path between an input and an output.
        With several cells the graph has a component for each, whose title is put in front of its labels.

        Args:
            cells: of one architecture.
            pruned: False to keep what the output does not depend on, which takes time on many devices all the same.
        """
        labels: list[str] = []
        edges: list[tuple[int, int]] = []
        outputs_of: dict[tuple[int, str], list[int]] = {}  # by cell and state, the nodes whose outputs it sums
        ends: set[int] = set()

        def add(label: str, cell: int, sources: Sequence[int]) -> int:
            edges.extend((source, len(labels)) for source in dict.fromkeys(sources))
            labels.append(f"{cells[cell].title}: {label}" if len(cells) > 1 else label)
            return len(labels) - 1

        for cell, state in _by_depth(cells):
            sources: list[int] = []
            for edge in cells[cell].entering(state, zeros=not pruned):
                outputs = outputs_of[cell, edge.source]
                sources += [add(edge.operation, cell, outputs)] if edge.operation else outputs
            label = state.operation or (state.shown if state.role != "inner" else "")
            outputs_of[cell, state.name] = [add(label, cell, sources)] if label else sources
            if state.role != "inner":
                ends.update(outputs_of[cell, state.name])
        return _pruned(labels, edges, ends) if pruned else cls(tuple(labels), tuple(sorted(edges)))


def _by_depth(cells: Sequence[CellGraph]) -> Iterator[tuple[int, State]]:
    """Yield the index of the cell and the state, by their depth in the cell: predecessors come first."""
    depths = [cell.depths for cell in cells]
    states = [(i, state) for i, cell in enumerate(cells) for state in cell.states]
    yield from sorted(states, key=lambda entry: depths[entry[0]][entry[1].name])


def _pruned(labels: Sequence[str], edges: Sequence[tuple[int, int]], ends: set[int]) -> OperationGraph:
    """Keep the ends and the nodes on paths between two of them."""
    fed, used = set(ends), set(ends)
    for source, target in edges:  # in the order of their targets
        if source in fed:
            fed.add(target)
    for source, target in sorted(edges, reverse=True):
        if target in used:
            used.add(source)
    kept = {node: i for i, node in enumerate(sorted(fed & used))}
    inside = ((kept[s], kept[t]) for s, t in edges if s in kept and t in kept)
    return OperationGraph(tuple(labels[node] for node in kept), tuple(sorted(inside)))
