"""The parts of NASNet's cells: 13 operations, combinations, blocks, and layers behind a joined output.

Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition" (CVPR 2018, arXiv:1707.07012).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce

import torch
from torch import nn

from raynas.core.architecture import Option
from raynas.core.decision import Categorical, Condition, Decision
from raynas.nn.choice import Choice
from raynas.nn.decision_module import BranchOf, DecisionModule
from raynas.nn.factories import ModuleFactory
from raynas.nn.input_choice import InputChoice
from raynas.nn.operations import HalvingConv, average_pool, max_pool, relu_conv_bn, separable_twice
from raynas.nn.selection import Mixture


def _identity(channels: int, stride: int) -> nn.Module:
    return nn.Identity() if stride == 1 else relu_conv_bn(channels, channels, 1, stride)


def _conv(kernel: int, channels: int, stride: int) -> nn.Module:
    return relu_conv_bn(channels, channels, kernel, stride)


def _two_convs(kernel: int, channels: int, stride: int) -> nn.Module:
    """Return two convolutions, the first over rows, the second over columns."""
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
    """Branch that is left out: its output is None."""

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
    """Layer on the joined output of a cell, computed as a sum over the blocks that are joined.

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
class CellOutput:
    """Output of a cell or of the stem.

    Attributes:
        cell: prefix of the cell's decisions, None for the stem.
        n_states: how many blocks it has.
        channels: width of each.
    """

    cell: str | None
    n_states: int
    channels: int

    def merged(self, part: Callable[[int], nn.Module], finish: nn.Module) -> Merge:
        """Return a layer on the joined output; ``part`` makes its part for block i."""
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
        inputs: tuple[CellOutput, CellOutput],
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
        n_out: channels of the output.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x: torch.Tensor) -> Sequence[torch.Tensor]:
        """Hand on one state."""
        return [super().forward(x)]
