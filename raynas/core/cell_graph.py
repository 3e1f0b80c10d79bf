"""CellGraph: a cell as its paper shows it, states joined by operations.

Operations on edges is the view of Liu et al., "DARTS" (ICLR 2019, arXiv:1806.09055). Pictures and the operation graphs
of predictors are both made from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from raynas.errors import RaynasError

Role = Literal["input", "inner", "output"]
"""Position of a state in its cell."""


@dataclass(frozen=True)
class State:
    """A feature map in a cell.

    Args:
        name: unique in its cell.
        title: shown to people, for example "cell k−1"; the name if None.
        role: "input", "inner" or "output".
        operation: the combination of the feature maps that enter it, for example "concat"; empty for their sum.
    """

    name: str
    title: str | None = None
    role: Role = "inner"
    operation: str = ""

    @property
    def shown(self) -> str:
        """The title, or else the name."""
        return self.name if self.title is None else self.title


@dataclass(frozen=True)
class CellEdge:
    """An operation on the feature map of one state, whose output enters another one.

    Args:
        source: name of the state it reads.
        target: name of the state it enters.
        operation: empty if the feature map is passed on unchanged.
        is_zero: True if the output is zero for every input, so that the target does not depend on the source.
    """

    source: str
    target: str
    operation: str = ""
    is_zero: bool = False


@dataclass(frozen=True)
class CellGraph:
    """A cell: feature maps, and the operations between them.

    Args:
        states: the inputs, inner states and outputs.
        edges: without a cycle; several may join the same two states.
        title: tells the cells of one architecture apart.

    Raises:
        RaynasError: if there is no state, two have the same name, an edge joins an unknown one, or edges form a cycle.
    """

    states: Sequence[State]
    edges: Sequence[CellEdge] = ()
    title: str = ""

    def __post_init__(self) -> None:
        names = [state.name for state in self.states]
        if not names or len(set(names)) < len(names):
            raise RaynasError(f"a cell needs states with different names, got {names}")
        _ = self.depths

    @property
    def depths(self) -> dict[str, int]:
        """Number of edges on the longest path to each state, by name."""
        return depths_of([state.name for state in self.states], [(edge.source, edge.target) for edge in self.edges])

    def entering(self, state: State, *, zeros: bool = False) -> list[CellEdge]:
        """Return the edges into a state; those of zeros only if asked for."""
        return [edge for edge in self.edges if edge.target == state.name and (zeros or not edge.is_zero)]


def depths_of(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return the number of edges on the longest path to each node of a graph.

    Args:
        names: of the nodes.
        edges: (source, target).

    Raises:
        RaynasError: if an edge joins an unknown node, or there is a cycle.
    """
    depths = dict.fromkeys(names, 0)
    for source, target in edges:
        if source not in depths or target not in depths:
            raise RaynasError(f"an edge must join two nodes of its graph, got {source!r} and {target!r}")
    for _ in range(len(names) + 1):
        longer = {target: depths[source] + 1 for source, target in edges if depths[target] <= depths[source]}
        if not longer:
            return depths
        depths |= longer
    raise RaynasError(f"the edges of a graph must not form a cycle, got one through {sorted(longer)}")
