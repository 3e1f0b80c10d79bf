"""Repeat: a number of blocks in a row, elastic depth."""

import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cache
from operator import index
from typing import cast

import torch
from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.core.decision import Condition, Decision, Integer
from raynas.errors import SpaceError
from raynas.nn.decision_module import BranchOf, DecisionModule
from raynas.nn.factories import numbered_factories
from raynas.nn.input_choice import reduced
from raynas.nn.selection import Mixture


class Repeat(DecisionModule):
    """Between ``low`` and ``high`` blocks in a row; the option is their number. Becomes an ``nn.Sequential``.

    Blocks may take several inputs, as in ``x = self.blocks(x, mask)``: the output of each block is the first input of
    the next one, and the others go to every block. If ``low`` is at least 1, blocks may also return all inputs of the
    next one, as a tuple. Such a ``Repeat`` becomes a ``Chain``, an ``nn.Sequential`` that passes the inputs on.

    Args:
        factory: makes block i, counted from 0; a block may hold choices, which are active where the block exists.
        low: minimum number of blocks; 0 passes the first input through.
        high: maximum number of blocks.
        label: name of the decision, for choice points that share one; the dotted path of the choice point if None.

    Raises:
        SpaceError: unless 0 <= low <= high and high > 0, or if ``factory`` is a module.
    """

    def __init__(self, factory: Callable[[int], nn.Module], low: int, high: int, label: str | None = None) -> None:
        if not (0 <= low <= high and high > 0):
            raise SpaceError(f"a Repeat needs 0 <= low <= high and high > 0, got {low} and {high}")
        super().__init__(numbered_factories(factory, high, "the block of a Repeat"), label)
        self.low, self.high = index(low), index(high)  # also of numpy

    def decision(self, name: str, active_if: Condition) -> Decision:
        return Integer(name, self.low, self.high, active_if=active_if)

    @property
    def alternatives(self) -> Sequence[Option]:
        """The depths."""
        return range(self.low, self.high + 1)

    def options_with(self, branch: str) -> Sequence[Option]:
        """Return the depths at which block ``branch`` exists."""
        return range(max(self.low, int(branch) + 1), self.high + 1)

    def assemble(self, option: Option, branch_of: Callable[[str], nn.Module]) -> nn.Module:
        blocks = [branch_of(str(i)) for i in range(int(option))]
        return Chain(*blocks, low=self.low) if self._take_several(blocks) else nn.Sequential(*blocks)

    def _take_several(self, blocks: Sequence[nn.Module]) -> bool:
        """Return True if blocks can take several inputs; if there is none, a first one is made to know."""
        if not blocks:
            with torch.random.fork_rng(devices=[]), torch.device("meta"):
                blocks = [self.make("0")]
        return any(map(takes_several, blocks))

    def run(self, option: Option, branch_of: BranchOf, *inputs: object) -> object:
        return in_a_row((branch_of(str(i)) for i in range(int(option))), inputs, {}, self.low)

    def mix(self, mixture: Mixture, branch_of: BranchOf, *inputs: object) -> Tensor:
        x = cast(Tensor, inputs[0])
        depths = {self.low + i: mixture.weights[i] for i in mixture.indices}
        outputs = [depths[0] * x] if 0 in depths else []
        for i in range(max(depths)):
            x = cast(Tensor, branch_of(str(i))(x, *inputs[1:]))
            if i + 1 in depths:
                outputs.append(depths[i + 1] * x)
        return reduced(outputs, "sum")

    def extra_repr(self) -> str:
        """Return the range, which ``print(model)`` shows."""
        return f"{self.low}..{self.high}"


class Chain(nn.Sequential):
    """The plain module of a ``Repeat``: blocks in a row that may take several inputs. Needs torch only.

    Args:
        blocks: the blocks.
        low: minimum number of blocks of the ``Repeat``.
    """

    def __init__(self, *blocks: nn.Module, low: int = 0) -> None:
        super().__init__(*blocks)
        self.low = low

    def forward(self, *inputs: object, **named: object) -> object:
        """Compute the output of the last block; the first input if there is no block."""
        return in_a_row(self, inputs, named, self.low)


def takes_several(module: nn.Module) -> bool:
    """Return True if a module can be called with more than one input; a choice, if one of its branches can."""
    if isinstance(module, DecisionModule):
        return any(takes_several(module.make(branch)) for branch in module.factories)
    return _takes_several(cast(Hashable, type(module)))


@cache
def _takes_several(kind: Hashable) -> bool:
    parameters = list(inspect.signature(cast(type[nn.Module], kind).forward).parameters.values())[1:]  # without self
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.KEYWORD_ONLY)
    return len(parameters) > 1 or any(parameter.kind in several for parameter in parameters)


def in_a_row(
    blocks: Iterable[Callable[..., object]], inputs: Sequence[object], named: Mapping[str, object], low: int
) -> object:
    """Call blocks in a row; see ``Repeat`` for the inputs of each.

    Args:
        blocks: the blocks.
        inputs: positional arguments of the first one.
        named: keyword arguments of each.
        low: minimum number of blocks. If it is 0, a block cannot return several inputs: no block at all returns one.

    Raises:
        TypeError: if a block with several inputs returns a tuple that cannot be the inputs of the next one.
    """
    output = inputs[0]
    for block in blocks:
        output = block(*inputs, **named)
        if len(inputs) == 1 or not isinstance(output, tuple):
            inputs = (output, *inputs[1:])
        elif low > 0 and len(output) == len(inputs):
            inputs = output
        else:
            raise TypeError(
                f"a block of a Repeat that takes {len(inputs)} inputs must return the new first one, or all of them if "
                f"low is at least 1; got {len(output)} with low={low}"
            )
    return output
