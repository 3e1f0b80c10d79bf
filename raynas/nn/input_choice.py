"""InputChoice: k of several tensors, reduced to one."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import combinations
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.core.decision import Categorical, Condition, Decision
from raynas.errors import SpaceError
from raynas.nn.decision_module import BranchOf, DecisionModule
from raynas.nn.factories import numbered_factories
from raynas.nn.selection import Mixture

Reduction = Literal["sum", "mean", "concat"]
"""Reduction of several tensors to one; "concat" joins them along dimension 1, the channels."""


class InputChoice(DecisionModule):
    """``n_chosen`` of several tensors, reduced to one: call it with them, as arguments or as one list.

    The options are "0", "1", …, or for several chosen inputs their combinations: "0+1", "0+2", ….

    Args:
        n_inputs: number of tensors that it is called with.
        n_chosen: number of them that are used.
        reduction: "sum", "mean", or "concat" along dimension 1.
        label: name of the decision, for choice points that share one; the dotted path of the choice point if None.
        edge: makes the module that is applied to input i, counted from 0, if that is chosen; it may hold choices, which
            are active where the input is chosen. None leaves inputs unchanged.

    Raises:
        SpaceError: unless 1 <= n_chosen <= n_inputs and the reduction is known, or if ``edge`` is a module.
    """

    def __init__(
        self,
        n_inputs: int,
        n_chosen: int = 1,
        reduction: Reduction = "sum",
        label: str | None = None,
        *,
        edge: Callable[[int], nn.Module] | None = None,
    ) -> None:
        if not 1 <= n_chosen <= n_inputs:
            raise SpaceError(f"an InputChoice needs 1 <= n_chosen <= n_inputs, got {n_chosen} and {n_inputs}")
        if reduction not in get_args(Reduction):
            raise SpaceError(f"reduction must be one of {', '.join(get_args(Reduction))}, got {reduction!r}")
        edges = {} if edge is None else numbered_factories(edge, n_inputs, "the edge of an InputChoice")
        super().__init__(edges, label)
        self.n_inputs = n_inputs
        self.n_chosen = n_chosen
        self.reduction = reduction
        self.chosen = {"+".join(map(str, c)): c for c in combinations(range(n_inputs), n_chosen)}

    def decision(self, name: str, active_if: Condition) -> Decision:
        return Categorical(name, tuple(self.chosen), active_if=active_if)

    @property
    def alternatives(self) -> Sequence[Option]:
        """The inputs, by their numbers."""
        return tuple(map(str, range(self.n_inputs)))

    def strongest(self, weights: Sequence[float]) -> Option:
        """Return the option of the ``n_chosen`` inputs with the highest weights, the earlier of equal ones."""
        ranked = sorted(range(self.n_inputs), key=lambda i: (-weights[i], i))
        return "+".join(map(str, sorted(ranked[: self.n_chosen])))

    def options_with(self, branch: str) -> Sequence[Option]:
        """Return the combinations that contain the input of number ``branch``."""
        return tuple(option for option, indices in self.chosen.items() if int(branch) in indices)

    def assemble(self, option: Option, branch_of: Callable[[str], nn.Module]) -> nn.Module:
        indices = self.chosen[str(option)]
        edges = {str(i): branch_of(str(i)) for i in indices} if self.factories else {}
        return SelectInputs(self.n_inputs, indices, self.reduction, edges)

    def run(self, option: Option, branch_of: BranchOf, *inputs: object) -> object:
        return reduced(self._through_edges(self.chosen[str(option)], branch_of, inputs), self.reduction)

    def mix(self, mixture: Mixture, branch_of: BranchOf, *inputs: object) -> Tensor:
        if self.reduction == "concat" and len(mixture.indices) != self.n_chosen:
            raise SpaceError(f"inputs that are concatenated cannot be mixed: {self.n_chosen} of them must be active")
        indices = sorted(mixture.indices)  # In the order of an option, which matters if they are concatenated.
        tensors = self._through_edges(indices, branch_of, inputs)
        weights = mixture.weights
        # Where inputs are only added, as in DARTS, a multiplication by 1 would keep each of them in memory.
        if weights.requires_grad or not bool((weights == 1).all()):
            tensors = [weights[i] * tensor for i, tensor in zip(indices, tensors, strict=True)]
        total = reduced(tensors, "sum" if self.reduction == "mean" else self.reduction)
        return total / self.n_chosen if self.reduction == "mean" else total

    def _through_edges(self, indices: Sequence[int], branch_of: BranchOf, inputs: Sequence[object]) -> list[Tensor]:
        tensors = as_tensors(inputs, self.n_inputs)
        if not self.factories:
            return [tensors[i] for i in indices]
        return [cast(Tensor, branch_of(str(i))(tensors[i])) for i in indices]

    def extra_repr(self) -> str:
        """Return the options, which ``print(model)`` shows."""
        return ", ".join(self.chosen)


class SelectInputs(nn.Module):
    """The plain module of an ``InputChoice``: fixed inputs, reduced to one. Needs torch only, so it can be exported.

    Args:
        n_inputs: number of tensors that it is called with.
        indices: those of them that it uses.
        reduction: "sum", "mean" or "concat" (along dimension 1).
        edges: by the number of an input, the module that is applied to it; inputs without one are left unchanged.
    """

    def __init__(
        self, n_inputs: int, indices: Sequence[int], reduction: str, edges: Mapping[str, nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.n_inputs = n_inputs
        self.indices = tuple(indices)
        self.reduction = reduction
        for number, edge in (edges or {}).items():
            self.add_module(number, edge)

    def forward(self, *inputs: Tensor | Sequence[Tensor]) -> Tensor:
        """Reduce the chosen ones of ``inputs``: ``n_inputs`` tensors, or one list of them.

        Raises:
            ValueError: if there are more or fewer.
        """
        tensors = as_tensors(inputs, self.n_inputs)
        edges = self._modules
        return reduced([edges[str(i)](tensors[i]) if edges else tensors[i] for i in self.indices], self.reduction)  # type: ignore[misc]

    def extra_repr(self) -> str:
        """Return the reduction and the inputs, which ``print(model)`` shows."""
        return f"{self.reduction} of {list(self.indices)} of {self.n_inputs}"


def as_tensors(inputs: Sequence[object], n_inputs: int) -> Sequence[Tensor]:
    """Return the tensors that were given as arguments or as one list.

    Raises:
        ValueError: if they are not ``n_inputs``.
    """
    if len(inputs) == 1 and isinstance(inputs[0], (list, tuple)):
        inputs = tuple(inputs[0])
    if len(inputs) != n_inputs:
        raise ValueError(f"expected {n_inputs} inputs, got {len(inputs)}")
    return cast(Sequence[Tensor], inputs)


def reduced(tensors: Sequence[Tensor], reduction: str) -> Tensor:
    """Reduce tensors to one: their "sum", their "mean", or "concat" along dimension 1."""
    if reduction == "concat":
        return torch.cat(list(tensors), dim=1)
    total: Tensor = reduce(torch.add, tensors)
    return total / len(tensors) if reduction == "mean" else total
