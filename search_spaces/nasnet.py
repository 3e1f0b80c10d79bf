"""The cell space of NASNet.

Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition" (CVPR 2018, arXiv:1707.07012).

A cell has five blocks, each made by five discrete choices: two inputs, an operation for each, and how their results are
combined. The outputs of the blocks that no other block takes, joined, are the cell's output. Deviations:

- Two results that are concatenated are brought back to the width of the cell by ReLU, 1x1 convolution and batch norm at
  once, not where they are used next, so that every state has one width whatever was chosen.
- The joined output is never made: the 1x1 convolution that fits it to the next cell is computed as the sum of one
  convolution for each part of it, which is the same function with the same parameters and multiply-adds. Where weights
  are shared, the part of each block is then a module of its own.
- Both inputs of a cell are always fitted so; the authors leave one that happens to have the right width as it is.
- The authors' released NASNet-A (tensorflow/models, ``nasnet_utils.py``) also joins two states that are in use: its
  normal cell hands on the cell before the last, its reduction cell block 1. Only with them it has the 768 filters and
  3.3 M parameters of the paper's table; here it has 640 and 3.1 M.
- No auxiliary head, which only serves training.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial, reduce

import torch
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.core.cell_graph import CellEdge, CellGraph
from raynas.core.decision import Categorical, Condition, Decision
from raynas.errors import SpaceError
from raynas.nn.choice import Choice
from raynas.nn.decision_module import BranchOf, DecisionModule
from raynas.nn.factories import ModuleFactory
from raynas.nn.input_choice import InputChoice
from raynas.nn.model_space import ModelSpace
from raynas.nn.operations import HalvingConv, average_pool, max_pool, relu_conv_bn, separable_twice
from raynas.nn.selection import Mixture
from raynas.search_spaces.darts import CellChain, cell_states, cell_title


def _identity(channels: int, stride: int) -> nn.Module:
    return nn.Identity() if stride == 1 else relu_conv_bn(channels, channels, 1, stride)


def _conv(kernel: int, channels: int, stride: int) -> nn.Module:
    return relu_conv_bn(channels, channels, kernel, stride)


def _two_convs(kernel: int, channels: int, stride: int) -> nn.Module:
    """A row, then a column."""
    layers: list[nn.Module] = []
    for size, step in (((1, kernel), (1, stride)), ((kernel, 1), (stride, 1))):
        padding = (size[0] // 2, size[1] // 2)
        conv = nn.Conv2d(channels, channels, size, step, padding, bias=False)
        layers += [nn.ReLU(), conv, nn.BatchNorm2d(channels)]
    return nn.Sequential(*layers)


def _dilated(channels: int, stride: int) -> nn.Module:
    conv = nn.Conv2d(channels, channels, 3, stride, padding=2, dilation=2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(channels))


def _average_pool(channels: int, stride: int) -> nn.Module:
    return average_pool(3, stride)


def _max_pool(kernel: int, channels: int, stride: int) -> nn.Module:
    return max_pool(kernel, stride)


def _separable(kernel: int, channels: int, stride: int) -> nn.Module:
    return separable_twice(channels, kernel, stride)


OPERATIONS: Mapping[str, Callable[[int, int], nn.Module]] = {
    "identity": _identity,
    "conv_1x3_3x1": partial(_two_convs, 3),
    "conv_1x7_7x1": partial(_two_convs, 7),
    "dil_conv_3x3": _dilated,
    "avg_pool_3x3": _average_pool,
    "max_pool_3x3": partial(_max_pool, 3),
    "max_pool_5x5": partial(_max_pool, 5),
    "max_pool_7x7": partial(_max_pool, 7),
    "conv_1x1": partial(_conv, 1),
    "conv_3x3": partial(_conv, 3),
    "sep_conv_3x3": partial(_separable, 3),
    "sep_conv_5x5": partial(_separable, 5),
    "sep_conv_7x7": partial(_separable, 7),
}
"""The paper's 13 operations, each made from channels and stride; a strided identity is a 1x1 convolution."""


class Add(nn.Module):
    """The sum of two tensors."""

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Of equal shape."""
        return first + second


class Concat(nn.Module):
    """Two tensors one behind the other, brought back to the width of one.

    Args:
        channels: width of each.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fit = relu_conv_bn(2 * channels, channels, 1)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Each ``(batch, channels, height, width)``, as is the result."""
        out: torch.Tensor = self.fit(torch.cat([first, second], dim=1))
        return out


class Absent(nn.Module):
    """What is not there: gives None."""

    def forward(self, x: torch.Tensor) -> None:
        """Nothing."""


class Unless(DecisionModule):
    """A module that is left out if a decision, which is open elsewhere too, has a certain option.

    Args:
        factory: makes the module.
        options: all options of the decision.
        absent: the one without the module.
        label: name of the decision.
    """

    def __init__(self, factory: ModuleFactory, options: Sequence[str], absent: str, label: str) -> None:
        super().__init__({"kept": factory}, label)
        self.options = tuple(options)
        self.absent = absent

    def decision(self, name: str, active_if: Condition) -> Decision:
        return Categorical(name, self.options, active_if=active_if)

    @property
    def alternatives(self) -> Sequence[Option]:
        """The options."""
        return self.options

    def options_with(self, branch: str) -> Sequence[Option]:
        return tuple(option for option in self.options if option != self.absent)

    def assemble(self, option: Option, branch_of: Callable[[str], nn.Module]) -> nn.Module:
        return Absent() if option == self.absent else branch_of("kept")

    def run(self, option: Option, branch_of: BranchOf, *inputs: object) -> object:
        return None if option == self.absent else branch_of("kept")(*inputs)

    def mix(self, mixture: Mixture, branch_of: BranchOf, *inputs: object) -> torch.Tensor | None:
        weights = [mixture.weights[i] for i in mixture.indices if self.options[i] != self.absent]
        out = branch_of("kept")(*inputs) if weights else None
        return reduce(torch.add, weights) * out if isinstance(out, torch.Tensor) else None


class Merge(nn.Module):
    """What a layer behind the joined output of a cell computes, as a sum over the blocks that are in it.

    Args:
        parts: for each block the layer's part, which gives None if the block is not in the output.
        finish: what comes after the sum.
    """

    def __init__(self, parts: Sequence[nn.Module], finish: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.finish = finish

    def forward(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        """Map the outputs of all blocks to one tensor."""
        outputs = [part(state) for part, state in zip(self.parts, states, strict=True)]
        total: torch.Tensor = self.finish(reduce(torch.add, [out for out in outputs if out is not None]))
        return total


@dataclass(frozen=True)
class _Output:
    """What a cell, or the stem, hands on.

    Attributes:
        cell: prefix of the cell's decisions, None for the stem.
        n_states: how many blocks it has.
        channels: width of each.
    """

    cell: str | None
    n_states: int
    channels: int

    def merged(self, part: Callable[[int], nn.Module], finish: nn.Module) -> Merge:
        """A layer behind it, of which ``part`` makes the piece for block i."""
        return Merge([self._if_unused(i, partial(part, i)) for i in range(self.n_states)], finish)

    def _if_unused(self, block: int, factory: ModuleFactory) -> nn.Module:
        later = range(block + 1, self.n_states) if self.cell else ()
        for other in later:
            options = [str(state) for state in range(2 + other)]
            for side in (0, 1):
                label = f"{self.cell}.{other}.input_{side}"
                factory = partial(Unless, factory, options, str(2 + block), label)
        return factory()

    def fitted(self, channels: int, halved: bool) -> Merge:
        """ReLU, convolution to a width, batch norm; half the image if ``halved``."""

        def part(i: int) -> nn.Module:
            conv = HalvingConv if halved else partial(nn.Conv2d, kernel_size=1, bias=False)
            return nn.Sequential(nn.ReLU(), conv(self.channels, channels))

        return self.merged(part, nn.BatchNorm2d(channels))


class Block(nn.Module):
    """Two states of the cell, each through an operation, combined.

    Args:
        name: prefix of its decisions.
        n_states: how many states there are to choose from.
        channels: width of each.
        reduces: whether the first two states, the inputs of the cell, are to be halved.
    """

    def __init__(self, name: str, n_states: int, channels: int, reduces: bool) -> None:
        super().__init__()

        def edge(side: int, i: int) -> nn.Module:
            stride = 2 if reduces and i < 2 else 1
            candidates = {operation: partial(make, channels, stride) for operation, make in OPERATIONS.items()}
            return Choice(candidates, label=f"{name}.op_{side}")

        self.input_0 = InputChoice(n_states, label=f"{name}.input_0", edge=partial(edge, 0))
        self.input_1 = InputChoice(n_states, label=f"{name}.input_1", edge=partial(edge, 1))
        combinations: dict[str, ModuleFactory] = {"add": Add, "concat": partial(Concat, channels)}
        self.combination = Choice(combinations, label=f"{name}.combination")

    def forward(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        """Map the states so far to the next one."""
        out: torch.Tensor = self.combination(self.input_0(list(states)), self.input_1(list(states)))
        return out


class Cell(nn.Module):
    """Two inputs fitted to one shape, and the blocks.

    Args:
        name: prefix of its decisions.
        inputs: what the two layers before hand on.
        channels: width of each block.
        n_blocks: how many blocks.
        reduces: whether the cell halves the image.
        after_reduction: whether the cell before halves it, so that the first input is too large.
    """

    def __init__(
        self,
        name: str,
        inputs: tuple[_Output, _Output],
        channels: int,
        n_blocks: int,
        *,
        reduces: bool,
        after_reduction: bool,
    ) -> None:
        super().__init__()
        self.fit_0 = inputs[0].fitted(channels, halved=after_reduction)
        self.fit_1 = inputs[1].fitted(channels, halved=False)
        self.blocks = nn.ModuleList(Block(f"{name}.{i}", 2 + i, channels, reduces) for i in range(n_blocks))

    def forward(self, first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Map what the two cells before hand on to the output of each block, ``(batch, channels, height, width)``."""
        states = [self.fit_0(first), self.fit_1(second)]
        for block in self.blocks:
            states.append(block(states))
        return states[2:]


class Stem(nn.Sequential):
    """Convolution and batch norm.

    Args:
        n_in: channels of an image.
        n_out: channels that go out.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x: torch.Tensor) -> Sequence[torch.Tensor]:
        """Hand on one state."""
        return [super().forward(x)]


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
        """The network with five choices in every block."""
        cells = list(self._cells())
        last = _Output("normal", self.n_blocks, 4 * self.channels)

        def part(i: int) -> nn.Module:
            # The last block is in every output, so the classifier's bias can be there.
            linear = nn.Linear(last.channels, self.n_classes, bias=i == self.n_blocks - 1)
            return nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)

        return CellChain(Stem(self.input_shape[0], 3 * self.channels), cells, last.merged(part, nn.Identity()))

    def _cells(self) -> Iterator[Cell]:
        stem = _Output(None, 1, 3 * self.channels)
        inputs, channels, after_reduction = (stem, stem), self.channels, False
        for i in range(3 * self.cells + 2):
            reduces = i in (self.cells, 2 * self.cells + 1)
            name = "reduce" if reduces else "normal"
            channels *= 1 + reduces
            yield Cell(name, inputs, channels, self.n_blocks, reduces=reduces, after_reduction=after_reduction)
            inputs, after_reduction = (inputs[1], _Output(name, self.n_blocks, channels)), reduces

    def cell_graphs(self, arch: Mapping[str, Option]) -> Sequence[CellGraph]:
        """Return the normal and the reduction cell; the operation of a state is the combination of its block."""
        options = self.canonical(arch)
        return [self._cell_graph(name, options) for name in ("normal", "reduce")]

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
