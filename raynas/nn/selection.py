"""What a supernet computes in one call: an option or a mixture for each decision, known to its modules meanwhile."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch import nn

from raynas.core.architecture import Option
from raynas.errors import SpaceError
from raynas.nn.fast.mixed_operation import Memo


@dataclass(frozen=True, eq=False)
class Mixture:
    """Several ways at once, each times its weight.

    The ways of a decision are what can be weighed: the options of a ``Choice`` or a ``Size``, the inputs of an
    ``InputChoice``, the depths of a ``Repeat``. Weights need not sum to 1.

    Args:
        weights: shape ``(n_ways,)``, in the order of the ways.
        active: indices of the ways that are computed; the others count as zero, and get no gradient. None for all.

    Raises:
        SpaceError: if ``weights`` is no vector, or ``active`` is empty, out of range or names a way twice.
    """

    weights: torch.Tensor
    active: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if self.weights.ndim != 1:
            raise SpaceError(f"weights must be a vector, one for each way, got shape {tuple(self.weights.shape)}")
        if self.active is not None and not (self.active and 0 <= min(self.active) <= max(self.active) < len(self)):
            raise SpaceError(f"active must name some of {len(self)} ways by index, got {list(self.active)}")
        if self.active is not None and len(set(self.active)) < len(self.active):
            raise SpaceError(f"active must name each way once, got {list(self.active)}")

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def indices(self) -> Sequence[int]:
        """The ways that are computed."""
        return range(len(self)) if self.active is None else self.active

    @property
    def active_weights(self) -> torch.Tensor:
        """The weights of the ways that are computed, in the order of ``indices``."""
        return self.weights if self.active is None else self.weights[list(self.active)]


Selection = Mapping[str, "Option | torch.Tensor | Mixture"]
"""What to compute for each decision: an option, or a mixture; a bare vector is the mixture of all ways."""


@dataclass(eq=False)
class Call:
    """One forward pass of a supernet.

    Args:
        selection: what it computes.
        widths: how many channels came into each elastic layer that was reached.
        memo: results that several places of the network share, such as the ReLU of a cell's node.
        shapes_only: whether elastic layers need not compute, only put out tensors of the right shape.
    """

    selection: Selection
    widths: dict[nn.Module, int] = field(default_factory=dict)
    memo: Memo = field(default_factory=Memo)
    shapes_only: bool = False

    def of(self, name: str) -> Option | Mixture:
        """What is selected for a decision.

        Raises:
            SpaceError: if nothing is.
        """
        if name not in self.selection:
            raise SpaceError(f"the selection lacks decision {name!r}, which the network needs")
        selected = self.selection[name]
        return Mixture(selected) if isinstance(selected, torch.Tensor) else selected


_CALL: ContextVar[Call] = ContextVar("call")


@contextmanager
def calling(call: Call) -> Iterator[Call]:
    """Make ``call`` known to the modules of a supernet until the context ends; calls may nest."""
    token = _CALL.set(call)
    try:
        yield call
    finally:
        _CALL.reset(token)
        call.memo.clear()


def current_call() -> Call:
    """The forward pass under way.

    Raises:
        SpaceError: if there is none: a module of a supernet was called by itself.
    """
    call = _CALL.get(None)
    if call is None:
        raise SpaceError("a part of a supernet runs only inside supernet(x, selection)")
    return call
