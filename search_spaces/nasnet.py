"""The cell space of NASNet.

Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition" (CVPR 2018, arXiv:1707.07012).

A cell has five blocks, each made by five discrete choices: two inputs, an operation for each, and how their results are
combined. The outputs of the blocks that no other block takes, joined, are the cell's output. Deviations:

- Two results that are concatenated are brought back to the width of the cell by ReLU, 1x1 convolution and batch norm at
  once, not where they are used next, so that every state has one width whatever was chosen.
- The joined output is never made: the 1x1 convolution that fits it to the next cell is computed as the sum of one
  convolution for each part of it, which is the same function with the same parameters and multiply-adds. Where weights
  are shared, the part of each block is then a separate module.
- Both inputs of a cell are always fitted so; the authors leave one that happens to have the right width as it is.
- The authors' released NASNet-A (tensorflow/models, ``nasnet_utils.py``) also joins two states that are in use: its
  normal cell hands on the cell before the last, its reduction cell block 1. Only with them it has the 768 filters and
  3.3 M parameters of the paper's table; here it has 640 and 3.1 M.
- No auxiliary head, which only serves training: see ``auxiliary_weight`` of ``Training``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.core.blocks import Block, in_turn
from raynas.core.cell_graph import CellEdge, CellGraph
from raynas.core.decision import Decision
from raynas.errors import SpaceError
from raynas.nn.model_space import ModelSpace
from raynas.search_spaces.darts import CellChain, cell_states, cell_title
from raynas.search_spaces.nasnet_cell import Cell, CellOutput, Stem


@dataclass(frozen=True, kw_only=True)
class NASNet(ModelSpace):
    """The cells of NASNet: a normal and a reduction cell of five blocks, each block made by five choices.

    Decisions are, for block i of the normal cell, ``normal.i.input_0`` and ``normal.i.input_1``, the states it takes,
    ``normal.i.op_0`` and ``normal.i.op_1``, what each goes through, and ``normal.i.combination``; the same with
    ``reduce`` for the cell that halves the image. States "0" and "1" are the outputs of the cell before the last and of
    the last one, "2" is block 0, and so on.

    The defaults are the paper's NASNet-A (6 @ 768) for CIFAR-10: N = 6 and 32 channels.

    Args:
        input_shape: channels, height and width of an image.
        n_classes: number of outputs.
        channels: width of a block in the first stage; each further stage has twice as many, the stem three times.
        cells: number of normal cells in each of the three stages, the paper's N; between stages is a reduction cell.
        n_blocks: blocks of a cell.

    Raises:
        SpaceError: if a size is below 1.
    """

    input_shape: tuple[int, ...] = (3, 32, 32)
    n_classes: int = 10
    channels: int = 32
    cells: int = 6
    n_blocks: int = 5

    def __post_init__(self) -> None:
        sizes = (*self.input_shape, self.n_classes, self.channels, self.cells, self.n_blocks)
        if len(self.input_shape) != 3 or min(sizes) < 1:
            raise SpaceError(f"input_shape must be (channels, height, width) and every size at least 1, got {self}")

    @property
    def decisions(self) -> Sequence[Decision]:
        """The decisions of the normal cell, then those of the reduction cell; they do not depend on other sizes."""
        return _decisions(replace(self, input_shape=(1, 8, 8), n_classes=1, channels=1, cells=1))

    def factory(self) -> nn.Module:
        """Return the network with five choices in every block."""
        cells = list(self._cells())
        last = CellOutput("normal", self.n_blocks, 4 * self.channels)

        def part(i: int) -> nn.Module:
            # The last block is in every output, so the classifier's bias can be there.
            linear = nn.Linear(last.channels, self.n_classes, bias=i == self.n_blocks - 1)
            return nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)

        return CellChain(Stem(self.input_shape[0], 3 * self.channels), cells, last.merged(part, nn.Identity()))

    def _cells(self) -> Iterator[Cell]:
        stem = CellOutput(None, 1, 3 * self.channels)
        inputs, channels, after_reduction = (stem, stem), self.channels, False
        for i in range(3 * self.cells + 2):
            reduces = i in (self.cells, 2 * self.cells + 1)
            name = "reduce" if reduces else "normal"
            channels *= 1 + reduces
            yield Cell(name, inputs, channels, self.n_blocks, reduces=reduces, after_reduction=after_reduction)
            inputs, after_reduction = (inputs[1], CellOutput(name, self.n_blocks, channels)), reduces

    def cell_graphs(self, arch: Mapping[str, Option]) -> Sequence[CellGraph]:
        """Return the normal and the reduction cell; the operation of a state is the combination of its block."""
        options = self.canonical(arch)
        return [self._cell_graph(name, options) for name in ("normal", "reduce")]

    def blocks(self) -> Sequence[Block]:
        """Return the blocks of both cells, in turn; one that is not there yet adds the block before it to itself."""
        return in_turn([_doubling(cell, i) for i in range(self.n_blocks) for cell in ("normal", "reduce")])

    def _cell_graph(self, name: str, options: Architecture) -> CellGraph:
        blocks = range(self.n_blocks)
        combinations = {i: str(options[f"{name}.{i}.combination"]) for i in blocks}
        edges = [
            CellEdge(str(options[f"{name}.{i}.input_{side}"]), str(i + 2), str(options[f"{name}.{i}.op_{side}"]))
            for i in blocks
            for side in (0, 1)
        ]
        used = {edge.source for edge in edges}
        edges += [CellEdge(str(i + 2), "out") for i in blocks if str(i + 2) not in used]
        return CellGraph(cell_states(self.n_blocks, combinations), edges, cell_title(name))


@lru_cache(maxsize=16)
def _decisions(space: NASNet) -> Sequence[Decision]:
    return space._discovered


def _doubling(cell: str, i: int) -> dict[str, Option]:
    """Return a block that adds the newest state to itself."""
    sides = [(f"{cell}.{i}.input_{side}", f"{cell}.{i}.op_{side}") for side in (0, 1)]
    options: dict[str, Option] = {}
    for source, operation in sides:
        options |= {source: str(i + 1), operation: "identity"}
    return {**options, f"{cell}.{i}.combination": "add"}


def _blocks(cell: str, *blocks: tuple[tuple[str, int], tuple[str, int]]) -> dict[str, Option]:
    options: dict[str, Option] = {}
    for i, pair in enumerate(blocks):
        for side, (operation, state) in enumerate(pair):
            options |= {f"{cell}.{i}.input_{side}": str(state), f"{cell}.{i}.op_{side}": operation}
        options[f"{cell}.{i}.combination"] = "add"
    return options


NASNET_A = Architecture(
    {
        **_blocks(
            "normal",
            (("sep_conv_5x5", 1), ("sep_conv_3x3", 0)),
            (("sep_conv_5x5", 0), ("sep_conv_3x3", 0)),
            (("avg_pool_3x3", 1), ("identity", 0)),
            (("avg_pool_3x3", 0), ("avg_pool_3x3", 0)),
            (("sep_conv_3x3", 1), ("identity", 1)),
        ),
        **_blocks(
            "reduce",
            (("sep_conv_5x5", 1), ("sep_conv_7x7", 0)),
            (("max_pool_3x3", 1), ("sep_conv_7x7", 0)),
            (("avg_pool_3x3", 1), ("sep_conv_5x5", 0)),
            (("identity", 3), ("avg_pool_3x3", 2)),
            (("sep_conv_3x3", 2), ("max_pool_3x3", 1)),
        ),
    }
)
"""The cells of NASNet-A, the paper's best."""
