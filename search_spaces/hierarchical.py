"""Motifs of motifs (Liu et al., "Hierarchical Representations", ICLR 2018, arXiv:1711.00436).

Six motifs are graphs of four nodes whose edges are primitive operations; the cell is a graph of five nodes whose edges
are motifs. Every edge may also be "none". That gives 7^6 ways to write a motif, 7^10 to write a cell, 7^46 = 7.5e38
together; 1.2e38 of them are different architectures here, where a motif on no edge is no decision. The network is the
authors': a small one to search (the default), and with ``channels=64, cells=2`` their large one.

Deviations: the paper concatenates what comes into a node and narrows it by a 1x1 convolution at the end of each motif;
here that convolution, with batch norm and ReLU, follows each concatenation, so that every node has the same width and
every option of an edge the same shape, which shared weights need. A node that nothing comes into is constant.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from math import comb

import torch
from torch import nn

from raynas.core.decision import Categorical, Decision
from raynas.errors import SpaceError
from raynas.nn.choice import Choice
from raynas.nn.factories import ModuleFactory
from raynas.nn.model_space import ModelSpace

N_STAGES = 3


class Zero(nn.Module):
    """The operation "none": zeros of the input's shape."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Zeros like ``x``."""
        return x * 0.0  # Not zeros_like: what lies before gets a gradient, which distributed training waits for.


def _bn_relu(channels: int) -> tuple[nn.Module, ...]:
    return nn.BatchNorm2d(channels), nn.ReLU()


def _depthwise(channels: int, stride: int = 1) -> nn.Module:
    return nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)


def _pointwise(n_in: int, n_out: int) -> nn.Module:
    return nn.Conv2d(n_in, n_out, 1, bias=False)


def separable(n_in: int, n_out: int, stride: int = 1) -> nn.Sequential:
    """3x3 depthwise and 1x1 convolution, batch norm, ReLU."""
    return nn.Sequential(_depthwise(n_in, stride), _pointwise(n_in, n_out), *_bn_relu(n_out))


PRIMITIVES: Mapping[str, Callable[[int], nn.Module]] = {
    "identity": lambda channels: nn.Identity(),
    "conv_1x1": lambda channels: nn.Sequential(_pointwise(channels, channels), *_bn_relu(channels)),
    "depthwise_3x3": lambda channels: nn.Sequential(_depthwise(channels), *_bn_relu(channels)),
    "separable_3x3": lambda channels: separable(channels, channels),
    "max_pool_3x3": lambda channels: nn.MaxPool2d(3, stride=1, padding=1),
    "avg_pool_3x3": lambda channels: nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
}
"""Operations of a motif's edge besides "none"; each is a factory of the number of channels."""


def edges(n_nodes: int) -> list[tuple[int, int]]:
    """Return the edges of a graph from lower to higher nodes, counted from 1."""
    return [(source, target) for target in range(2, n_nodes + 1) for source in range(1, target)]


def edge_name(graph: str, source: int, target: int) -> str:
    """Return the name of an edge's decision, e.g. in the graph "cell" or "motif_1"."""
    return f"{graph}_edge_{source}_{target}"


class Motif(nn.Module):
    """A graph: node 1 is the input, each other merges the edges that come into it, the last one is the output.

    A merge is a concatenation and a 1x1 convolution. That is the sum of one convolution for each input, and so each
    edge holds its share: an edge that is "none" takes no weights.

    Args:
        name: of the graph; those with the same name have the same operations.
        n_nodes: how many nodes.
        operations: what an edge can be besides "none".
        channels: width of every node.
    """

    def __init__(self, name: str, n_nodes: int, operations: Mapping[str, ModuleFactory], channels: int) -> None:
        super().__init__()
        self.n_nodes = n_nodes
        options = {"none": Zero} | {option: partial(_edge, make, channels) for option, make in operations.items()}
        for source, target in edges(n_nodes):
            self.add_module(f"edge_{source}_{target}", Choice(options, label=edge_name(name, source, target)))
        for node in range(2, n_nodes + 1):
            self.add_module(f"node_{node}", nn.Sequential(*_bn_relu(channels)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(batch, channels, height, width)`` to the same shape."""
        nodes = [x]
        for target in range(2, self.n_nodes + 1):
            incoming = [getattr(self, f"edge_{i}_{target}")(node) for i, node in enumerate(nodes, start=1)]
            nodes.append(getattr(self, f"node_{target}")(reduce(torch.add, incoming)))
        return nodes[-1]


def _edge(make: ModuleFactory, channels: int) -> nn.Module:
    return nn.Sequential(make(), _pointwise(channels, channels))


@dataclass(frozen=True)
class MotifEdge(Categorical):
    """The operation on an edge of a motif: a decision as soon as *any* edge in ``active_if`` holds the motif."""

    needs_all = False


@dataclass(frozen=True, kw_only=True)
class Hierarchical(ModelSpace):
    """The cells of Liu et al.; every cell of a network is the same, and a motif is the same in every place.

    Decisions are ``cell_edge_1_2``, ``cell_edge_1_3``, …: "none" or a motif, and ``motif_1_edge_1_2``, …: "none" or a
    primitive. A motif's decisions are active if an edge of the cell holds it.

    Args:
        input_shape: channels, height and width of an image.
        n_classes: number of outputs.
        channels: width of the first stage; each of the two others has twice as many.
        cells: number of cells in each of the three stages.
        n_motifs: how many different motifs there are.
        motif_nodes: nodes of a motif.
        cell_nodes: nodes of the cell.

    Raises:
        SpaceError: if a size is below 1, or a graph has fewer than two nodes.
    """

    input_shape: tuple[int, ...] = (3, 32, 32)
    n_classes: int = 10
    channels: int = 16
    cells: int = 1
    n_motifs: int = 6
    motif_nodes: int = 4
    cell_nodes: int = 5

    def __post_init__(self) -> None:
        sizes = (*self.input_shape, self.n_classes, self.channels, self.cells, self.n_motifs)
        if len(self.input_shape) != 3 or min(sizes) < 1:
            raise SpaceError(f"input_shape must be (channels, height, width) and every size at least 1, got {self}")
        if min(self.motif_nodes, self.cell_nodes) < 2:
            raise SpaceError(f"a graph needs at least 2 nodes, got {self.motif_nodes} and {self.cell_nodes}")

    @cached_property
    def decisions(self) -> Sequence[Decision]:
        """The edges of the cell, then those of each motif."""
        # Not read off the model: a motif is on many edges, and matters if one of them holds it, whichever.
        return (*self._cell_edges(), *self._motif_edges())

    @property
    def _motifs(self) -> list[str]:
        return [f"motif_{i}" for i in range(1, self.n_motifs + 1)]

    def _cell_edges(self) -> Iterator[Decision]:
        for edge in edges(self.cell_nodes):
            yield Categorical(edge_name("cell", *edge), ("none", *self._motifs))

    def _motif_edges(self) -> Iterator[Decision]:
        users = [decision.name for decision in self._cell_edges()]
        for motif in self._motifs:
            for edge in edges(self.motif_nodes):
                active_if = {user: (motif,) for user in users}
                yield MotifEdge(edge_name(motif, *edge), ("none", *PRIMITIVES), active_if=active_if)

    @cached_property
    def size(self) -> int:
        """Exact number of canonical architectures."""
        # By how many motifs the cell uses: which ones, the cells that use each of them, and their edges.
        motif = (len(PRIMITIVES) + 1) ** len(edges(self.motif_nodes))
        return sum(comb(self.n_motifs, k) * self._cells_with(k) * motif**k for k in range(self.n_motifs + 1))

    def _cells_with(self, k: int) -> int:
        """Return the number of cells that use each of k given motifs and no other, by inclusion and exclusion."""
        n_edges = len(edges(self.cell_nodes))
        return sum((-1) ** i * comb(k, i) * (k - i + 1) ** n_edges for i in range(k + 1))

    def factory(self) -> nn.Module:
        """Return the network with a choice on every edge of every cell, and on every edge of every motif in it."""
        stem = nn.Conv2d(self.input_shape[0], self.channels, 3, padding=1, bias=False)
        layers: list[nn.Module] = [stem, *_bn_relu(self.channels)]
        width, n_cells = self.channels, N_STAGES * self.cells
        for i in range(1, n_cells + 1):
            ends_stage = i % self.cells == 0 and i < n_cells
            layers += [self._cell(width), separable(width, width * 2, 2) if ends_stage else separable(width, width)]
            width *= 2 if ends_stage else 1
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, self.n_classes))

    def _cell(self, channels: int) -> Motif:
        primitives = {name: partial(make, channels) for name, make in PRIMITIVES.items()}
        motifs = {name: partial(Motif, name, self.motif_nodes, primitives, channels) for name in self._motifs}
        return Motif("cell", self.cell_nodes, motifs, channels)
