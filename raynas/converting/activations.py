"""Importance of channels, heads and features by the size of their activations on a few batches."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from raynas.converting.groups import Group
from raynas.converting.importance import GroupScore, owners, per_index
from raynas.converting.traceable import traceable
from raynas.core.inputs import Arguments, Inputs
from raynas.errors import SpaceError
from raynas.nn.dimensions.expressions import Atom, Dimension, atoms
from raynas.nn.dimensions.tracing import Trace
from raynas.nn.modes import modes_kept

PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "mv", "convolution", "attention", "lstm", "rnn", "gru")
"""Parts of the names of operations that mix channels."""

REDUCTIONS = ("mean", "sum", "amax", "amin")
"""Operations that take in what no product does."""


def activation(model: nn.Module, batches: Iterable[Inputs]) -> GroupScore:
    """Return the mean absolute activation of each index, where products with weights or with each other take it in.

    So channels of a convolution count after their nonlinearity (Molchanov et al., "Pruning Convolutional Neural
    Networks for Resource Efficient Inference", ICLR 2017), and heads, hidden and embedding features as in Minitron
    (Muralidharan et al., 2024), except that its hidden features count before theirs. The activations of each operation
    are divided by their mean, so that each counts the same.

    Args:
        model: the given one, which computes in eval mode.
        batches: inputs with the shapes of the example, except for the batch's size.

    Raises:
        SpaceError: if there is no batch, or the score of a group is asked for that no batch shows.
    """
    totals: dict[tuple[str, int], _Total] = {}
    n_batches = 0
    for batch in batches:
        _observe(model, Arguments.of(batch), totals)
        n_batches += 1
    if not n_batches:
        raise SpaceError('importance="activation" needs at least one batch of inputs')

    def score(group: Group) -> Tensor:
        for slot in group.slots:
            total = totals.get((slot.name, slot.axis))
            owner = owners(slot.dimension, group.atom)
            found = total.of(owner) if total is not None else None
            if found is not None:
                return found
        raise SpaceError(f"no batch shows the activations of {group.name}: are its shapes those of the example?")

    return score


@dataclass
class _Total:
    """Sums for the groups in one dimension of a parameter, over batches.

    A group is known by the positions of its indices, since each trace has its own names.
    """

    owners: list[Tensor] = field(default_factory=list)
    sums: list[Tensor] = field(default_factory=list)

    def of(self, owner: Tensor) -> Tensor | None:
        same = (i for i, known in enumerate(self.owners) if torch.equal(known, owner))
        return next((self.sums[i] for i in same), None)

    def add(self, owner: Tensor, values: Tensor) -> None:
        found = self.of(owner)
        if found is None:
            self.owners.append(owner)
            self.sums.append(values)
        else:
            found += values


def _observe(model: nn.Module, batch: Arguments, totals: dict[tuple[str, int], _Total]) -> None:
    trace = _Activations(model)
    with modes_kept(model), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.eval()
        with traceable(model), trace:
            batch.call(model)
    sums = trace.sums()
    for name, parameter in model.named_parameters():
        for axis, dimension in enumerate(trace.of(parameter)):
            for atom in dict.fromkeys(atoms(dimension)):
                if atom in sums:
                    totals.setdefault((name, axis), _Total()).add(owners(dimension, atom), sums[atom].clone())


class _Activations(Trace):
    """A trace that keeps the mean absolute inputs of products and reductions, along each of their dimensions."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.taken: list[tuple[Dimension, Tensor]] = []
        self.reduced: list[tuple[Dimension, Tensor]] = []
        self._weights = {tensor.untyped_storage().data_ptr() for tensor in model.parameters()}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        name = func._schema.name.removeprefix("aten::")
        if any(part in name for part in PRODUCTS):
            self.taken += self._means(args)
        elif name in REDUCTIONS:
            self.reduced += self._means(args)
        return result

    def _means(self, args: Sequence[Any]) -> Iterator[tuple[Dimension, Tensor]]:
        for tensor in self._activations(args):
            magnitude = tensor.detach().abs().double()
            for axis, dimension in enumerate(self.of(tensor)):
                others = [other for other in range(tensor.ndim) if other != axis]
                yield dimension, magnitude.mean(others).cpu() if others else magnitude.cpu()

    def _activations(self, args: Sequence[Any]) -> list[Tensor]:
        tensors = [arg for arg in args if isinstance(arg, Tensor) and arg.is_floating_point() and arg.numel()]
        return [tensor for tensor in tensors if tensor.untyped_storage().data_ptr() not in self._weights]

    def sums(self) -> dict[Atom, Tensor]:
        """Return for each group of indices its sums, once all is known of the dimensions."""
        return {**_sums(self.reduced), **_sums(self.taken)}


def _sums(taken: Sequence[tuple[Dimension, Tensor]]) -> dict[Atom, Tensor]:
    found: dict[Atom, Tensor] = {}
    for dimension, means in taken:
        for atom in dict.fromkeys(atoms(dimension)):
            if atom.size == 1 or atom.frozen:
                continue
            values = per_index(means, dimension, atom)
            found.setdefault(atom, torch.zeros(atom.size, dtype=torch.float64))
            found[atom] += values / values.mean().clamp_min(1e-30)
    return found
