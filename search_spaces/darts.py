"""The cell space of DARTS (Liu et al., "DARTS: Differentiable Architecture Search", ICLR 2019, arXiv:1806.09055).

A network is a chain of cells, each of which takes the outputs of the two before it; two of them halve the image. At the
sizes of the final training, parameters are those of the authors' program without its auxiliary head, which is a setting
of the training. One deviation: an image side that is odd is halved upwards, where the original fails.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import torch
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.core.blocks import Block, in_turn
from raynas.core.cell_graph import CellEdge, CellGraph, State
from raynas.core.decision import Decision
from raynas.errors import SpaceError
from raynas.nn.choice import Choice
from raynas.nn.factories import ModuleFactory
from raynas.nn.input_choice import InputChoice
from raynas.nn.model_space import ModelSpace
from raynas.nn.operations import (
    average_pool,
    dilated_separable,
    factorized_reduce,
    max_pool,
    relu_conv_bn,
    separable_twice,
)


def _max_pool(channels: int, stride: int, affine: bool) -> nn.Module:
    return _pool(max_pool(3, stride), channels, affine)


def _average_pool(channels: int, stride: int, affine: bool) -> nn.Module:
    return _pool(average_pool(3, stride), channels, affine)


def _pool(pool: nn.Module, channels: int, affine: bool) -> nn.Module:
    # In the search the outputs of all operations must have the same scale, as their weights are compared.
    return pool if affine else nn.Sequential(pool, nn.BatchNorm2d(channels, affine=False))


def _skip(channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.Identity() if stride == 1 else factorized_reduce(channels, channels, affine=affine)


def _separable(kernel: int, channels: int, stride: int, affine: bool) -> nn.Module:
    return separable_twice(channels, kernel, stride, affine=affine)


def _dilated(kernel: int, channels: int, stride: int, affine: bool) -> nn.Module:
    return dilated_separable(channels, kernel, stride, affine=affine)


OPERATIONS: Mapping[str, Callable[[int, int, bool], nn.Module]] = {
    "max_pool_3x3": _max_pool,
    "avg_pool_3x3": _average_pool,
    "skip_connect": _skip,
    "sep_conv_3x3": partial(_separable, 3),
    "sep_conv_5x5": partial(_separable, 5),
    "dil_conv_3x3": partial(_dilated, 3),
    "dil_conv_5x5": partial(_dilated, 5),
}
"""Operations of an edge by the paper's names; each is a factory of (channels, stride, affine batch norms)."""


def operations(channels: int, stride: int, affine: bool) -> dict[str, ModuleFactory]:
    """Return the candidates of an edge."""
    return {name: partial(make, channels, stride, affine) for name, make in OPERATIONS.items()}


class CellNode(nn.Module):
    """The sum of two states of the cell, each after an operation.

    Args:
        name: prefix of its decisions.
        n_states: how many states there are to choose from.
        channels: width of each.
        reduces: whether the first two states, the inputs of the cell, are to be halved.
        affine: whether batch norms have weights.
    """

    def __init__(self, name: str, n_states: int, channels: int, reduces: bool, affine: bool) -> None:
        super().__init__()

        def edge(i: int) -> nn.Module:
            stride = 2 if reduces and i < 2 else 1

            def narrow(k: int) -> Mapping[str, ModuleFactory]:
                return operations(channels // k, stride, affine)

            return Choice(operations(channels, stride, affine), label=f"{name}.op_{i}", null=True, narrow=narrow)

        self.inputs = InputChoice(n_states, 2, "sum", label=f"{name}.inputs", edge=edge)

    def forward(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        """Map the states so far to the next one."""
        out: torch.Tensor = self.inputs(list(states))
        return out


class Cell(nn.Module):
    """Two inputs brought to one shape, the nodes, and their outputs joined.

    Args:
        name: prefix of its decisions.
        widths: channels of the two inputs.
        channels: width of each node.
        n_nodes: how many nodes.
        reduces: whether the cell halves the image.
        after_reduction: whether the cell before halves it, so that the first input is too large.
        affine: whether batch norms have weights.
    """

    def __init__(
        self,
        name: str,
        widths: tuple[int, int],
        channels: int,
        n_nodes: int,
        *,
        reduces: bool,
        after_reduction: bool,
        affine: bool,
    ) -> None:
        super().__init__()
        first, second = widths
        self.preprocess0 = (
            factorized_reduce(first, channels, affine=affine)
            if after_reduction
            else relu_conv_bn(first, channels, 1, affine=affine)
        )
        self.preprocess1 = relu_conv_bn(second, channels, 1, affine=affine)
        self.nodes = nn.ModuleList(CellNode(f"{name}.{i}", 2 + i, channels, reduces, affine) for i in range(n_nodes))

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Map the outputs of the two cells before to ``(batch, n_nodes * channels, height, width)``."""
        states = [self.preprocess0(first), self.preprocess1(second)]
        for node in self.nodes:
            states.append(node(states))
        return torch.cat(states[2:], dim=1)


class CellChain(nn.Module):
    """Stem, cells that each take the outputs of the two before them, classifier."""

    def __init__(self, stem: nn.Module, cells: Sequence[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.cells = nn.ModuleList(cells)
        self.head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images ``(batch, channels, height, width)`` to logits ``(batch, n_classes)``."""
        before = last = self.stem(x)
        for cell in self.cells:
            before, last = last, cell(before, last)
        out: torch.Tensor = self.head(last)
        return out


@dataclass(frozen=True, kw_only=True)
class DARTS(ModelSpace):
    """The cells of DARTS: each node adds up two of the states before it, each through one of seven operations.

    Decisions are, for node i of the normal cell, ``normal.i.inputs``, the two states, e.g. "0+2", and for each of them
    the operation on the edge from it, e.g. ``normal.i.op_0``; the same with ``reduce`` for the cell that halves the
    image. States 0 and 1 are the outputs of the cell before the last and of the last one, state 2 is node 0, and so on.

    The defaults are the paper's final network; its search has
    ``replace(space, channels=16, cells=8, affine=False)``.

    Args:
        input_shape: channels, height and width of an image.
        n_classes: number of outputs.
        channels: width of a node in the first third; the stem is three times as wide.
        cells: number of all cells; those after one and after two thirds halve the image and double the width.
        n_nodes: nodes of a cell.
        affine: whether batch norms of cells have weights; without, as in the search, each pooling is followed by one.
        macro: give each cell its own decisions, then named ``cell_0.0.inputs`` and so on.

    Raises:
        SpaceError: if a size is below 1, or there are fewer than 3 cells, which is one normal cell and two reductions.
    """

    input_shape: tuple[int, ...] = (3, 32, 32)
    n_classes: int = 10
    channels: int = 36
    cells: int = 20
    n_nodes: int = 4
    affine: bool = True
    macro: bool = False

    def __post_init__(self) -> None:
        sizes = (*self.input_shape, self.n_classes, self.channels, self.n_nodes, self.cells - 2)
        if len(self.input_shape) != 3 or min(sizes) < 1:
            raise SpaceError(
                f"input_shape must be (channels, height, width), cells at least 3 and every other size at least 1, "
                f"got {self}"
            )

    @property
    def decisions(self) -> Sequence[Decision]:
        """The decisions cell by cell; those of one cell of each kind if all cells of a kind are the same."""
        cells = self.cells if self.macro else 3
        return _decisions(replace(self, input_shape=(1, 8, 8), n_classes=1, channels=1, cells=cells, affine=True))

    def factory(self) -> nn.Module:
        """Return the network with a choice of inputs at every node and of operations on every edge."""
        wide = 3 * self.channels
        stem = nn.Sequential(nn.Conv2d(self.input_shape[0], wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide))
        cells = list(self._cells())
        last = self.n_nodes * 4 * self.channels
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, self.n_classes))
        return CellChain(stem, cells, head)

    def _cells(self) -> Iterator[Cell]:
        widths = (3 * self.channels, 3 * self.channels)
        channels, after_reduction = self.channels, False
        for i in range(self.cells):
            reduces = i in self._reductions
            channels *= 1 + reduces
            yield Cell(
                self._cell_name(i),
                widths,
                channels,
                self.n_nodes,
                reduces=reduces,
                after_reduction=after_reduction,
                affine=self.affine,
            )
            widths, after_reduction = (widths[1], self.n_nodes * channels), reduces

    @property
    def _reductions(self) -> tuple[int, int]:
        return self.cells // 3, 2 * self.cells // 3

    def _cell_name(self, i: int) -> str:
        return f"cell_{i}" if self.macro else "reduce" if i in self._reductions else "normal"

    def cell_graphs(self, arch: Mapping[str, Option]) -> Sequence[CellGraph]:
        """Return the normal and the reduction cell, or every cell if each has its own decisions."""
        options = self.canonical(arch)
        names = dict.fromkeys(map(self._cell_name, range(self.cells)))
        return [
            CellGraph(cell_states(self.n_nodes), list(self._edges(name, options)), cell_title(name)) for name in names
        ]

    def blocks(self) -> Sequence[Block]:
        """Return the nodes of all cells, in turn; one that is not there yet skips from the two newest states."""
        cells = list(dict.fromkeys(map(self._cell_name, range(self.cells))))
        return in_turn([self._plain_node(cell, i) for i in range(self.n_nodes) for cell in cells])

    def _plain_node(self, cell: str, i: int) -> dict[str, Option]:
        names = [d.name for d in self.decisions if d.name.startswith(f"{cell}.{i}.")]
        return {name: f"{i}+{i + 1}" if name.endswith("inputs") else "skip_connect" for name in names}

    def _edges(self, cell: str, options: Architecture) -> Iterator[CellEdge]:
        for i in range(self.n_nodes):
            for state in str(options[f"{cell}.{i}.inputs"]).split("+"):
                yield CellEdge(state, str(i + 2), str(options[f"{cell}.{i}.op_{state}"]))
            yield CellEdge(str(i + 2), "out")


@lru_cache(maxsize=16)
def _decisions(space: DARTS) -> Sequence[Decision]:
    return space._discovered


def cell_title(name: str) -> str:
    """Return the title of a cell, given the prefix of its decisions."""
    return {"normal": "normal cell", "reduce": "reduction cell"}.get(name, name)


def cell_states(n_nodes: int, operations: Mapping[int, str] | None = None) -> list[State]:
    """Return the states of a cell: two inputs, named "0" and "1", nodes from "2" on, and "out".

    Args:
        n_nodes: number of nodes.
        operations: by the number of a node, counted from 0, how it combines its inputs if not by their sum.
    """
    inputs = [State("0", "cell k−2", "input"), State("1", "cell k−1", "input")]
    nodes = [State(str(i + 2), str(i), operation=(operations or {}).get(i, "")) for i in range(n_nodes)]
    return [*inputs, *nodes, State("out", "cell k", "output")]
