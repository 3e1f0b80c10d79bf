"""Repeat: a number of blocks in a row, elastic depth."""

from collections.abc import Callable, Sequence
from typing import cast

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

    Args:
        factory: makes block i, counted from 0; a block may hold choices, which are active where the block exists.
        low: minimum number of blocks; 0 passes the input through.
        high: maximum number of blocks.
        label: name of the decision, for choice points that share one; the dotted path of the choice point if None.

    Raises:
        SpaceError: unless 0 <= low <= high and high > 0, or if ``factory`` is a module.
    """

    def __init__(self, factory: Callable[[int], nn.Module], low: int, high: int, label: str | None = None) -> None:
        if not (0 <= low <= high and high > 0):
            raise SpaceError(f"a Repeat needs 0 <= low <= high and high > 0, got {low} and {high}")
        super().__init__(numbered_factories(factory, high, "the block of a Repeat"), label)
        self.low = low
        self.high = high

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
        return nn.Sequential(*(branch_of(str(i)) for i in range(int(option))))

    def run(self, option: Option, branch_of: BranchOf, *inputs: object) -> object:
        (x,) = inputs
        for i in range(int(option)):
            x = branch_of(str(i))(x)
        return x

    def mix(self, mixture: Mixture, branch_of: BranchOf, *inputs: object) -> Tensor:
        (x,) = cast(tuple[Tensor], inputs)
        depths = {self.low + i: mixture.weights[i] for i in mixture.indices}
        outputs = [depths[0] * x] if 0 in depths else []
        for i in range(max(depths)):
            x = cast(Tensor, branch_of(str(i))(x))
            if i + 1 in depths:
                outputs.append(depths[i + 1] * x)
        return reduced(outputs, "sum")

    def extra_repr(self) -> str:
        """Return the range, which ``print(model)`` shows."""
        return f"{self.low}..{self.high}"
