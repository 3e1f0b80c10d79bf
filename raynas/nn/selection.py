"""The selection of a supernet's forward pass: an option or a mixture for each decision, visible to its modules."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.errors import SpaceError
from raynas.nn.fast.memo import Memo

if TYPE_CHECKING:
    from raynas.nn.expansion import ExpandedChoice


@dataclass(frozen=True, eq=False)
class Mixture:
    """Weights for the alternatives of a decision.

    The alternatives are the options of a ``Choice`` or a ``Size``, the inputs of an ``InputChoice``, or the depths of
    a ``Repeat``. Weights need not sum to 1.

    Args:
        weights: shape ``(n_alternatives,)``, in the order of the alternatives.
        active: indices of the alternatives that are computed; the others count as zero and get no gradient. None for
            all.

    Raises:
        SpaceError: if ``weights`` is no vector, or ``active`` is empty, out of range or repeats an index.
    """

    weights: Tensor
    active: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if self.weights.ndim != 1:
            raise SpaceError(f"weights must be a vector, one for each alternative, got {tuple(self.weights.shape)}")
        if self.active is not None and not (self.active and 0 <= min(self.active) <= max(self.active) < len(self)):
            raise SpaceError(f"active must name some of {len(self)} alternatives by index, got {list(self.active)}")
        if self.active is not None and len(set(self.active)) < len(self.active):
            raise SpaceError(f"active must name each alternative once, got {list(self.active)}")

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def indices(self) -> Sequence[int]:
        """The alternatives that are computed."""
        return range(len(self)) if self.active is None else self.active

    @property
    def active_weights(self) -> Tensor:
        """The weights of the alternatives that are computed, in the order of ``indices``."""
        if self.active is None:
            return self.weights
        first, last = self.active[0], self.active[-1]
        if list(self.active) == list(range(first, last + 1)):  # a view, for which no indices have to reach a GPU
            return self.weights[first : last + 1]
        return self.weights[list(self.active)]


Selection = Mapping[str, "Option | Tensor | Mixture"]
"""For each decision an option or a mixture; a bare vector is the mixture of all alternatives."""


@dataclass(eq=False)
class Call:
    """A forward pass of a supernet.

    Args:
        selection: the option or mixture of each decision.
        sizes: sizes of elastic layers that replace the selected ones.
        widths: number of input channels of each elastic layer that was reached; filled by the pass.
        memo: results that several modules share, such as the ReLU of a cell's node.
        shapes_only: True to skip the computation of elastic layers, which then only return tensors of the right shape.
    """

    selection: Selection
    sizes: Mapping[nn.Module, Mapping[str, int]] = field(default_factory=dict)
    widths: dict[nn.Module, int] = field(default_factory=dict)
    memo: Memo = field(default_factory=Memo)
    shapes_only: bool = False

    def of(self, name: str) -> Option | Mixture:
        """Return the option or mixture of a decision.

        Raises:
            SpaceError: if there is none.
        """
        if name not in self.selection:
            raise SpaceError(f"the selection lacks decision {name!r}, which the network needs")
        selected = self.selection[name]
        return Mixture(selected) if isinstance(selected, Tensor) else selected

    def run(self, choice: "ExpandedChoice", *inputs: object, **named: object) -> object:
        """Compute the output of a choice: by default of what is selected. Subclasses may compute it differently."""
        return choice.compute(self.of(choice.name), *inputs, **named)


_CALL: ContextVar[Call] = ContextVar("call")


@contextmanager
def calling(call: Call) -> Iterator[Call]:
    """Make ``call`` the current one for the modules of a supernet until the context ends; calls may nest."""
    token = _CALL.set(call)
    try:
        yield call
    finally:
        _CALL.reset(token)
        call.memo.finish()


def current_call() -> Call:
    """Return the current forward pass.

    Raises:
        SpaceError: if there is none, because a module of a supernet was called by itself.
    """
    call = _CALL.get(None)
    if call is None:
        raise SpaceError("a part of a supernet runs only inside supernet(x, selection)")
    return call
