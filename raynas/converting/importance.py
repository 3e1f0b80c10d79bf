"""Importance of channels, heads and blocks: the order in which smaller members keep them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from raynas.converting.blocks import BlockRow
from raynas.converting.groups import Group
from raynas.nn.dimensions.expressions import Atom, Dimension, Sum, resolved

Importance = Literal["l1", "taylor", "activation", "random"]
"""Name of a criterion."""

Score = Callable[[Tensor], Tensor]
"""Importance of each number of a parameter."""

GroupScore = Callable[[Group], Tensor]
"""Importance of each index of a group."""


def scores(group: Group, score: Score) -> Tensor:
    """Return the importance of each index of a group: the sum of its parameters' over the layers that produce it.

    Args:
        group: the group.
        score: importance of each number of a parameter; every parameter's are divided by their mean.
    """
    slots = [slot for slot in group.slots if slot.produces and slot.tensor.ndim > 1] or list(group.slots)
    total = torch.zeros(group.size, dtype=torch.float64)
    for slot in slots:
        others = [axis for axis in range(slot.tensor.ndim) if axis != slot.axis]
        values = score(slot.tensor).double().cpu()
        per_position = values.sum(others) if others else values
        per_index = torch.zeros(group.size, dtype=torch.float64)
        owner = owners(slot.dimension, group.atom)
        per_index.index_add_(0, owner[owner >= 0], per_position[owner >= 0])
        total += per_index / per_index.mean().clamp_min(1e-30)
    return total


def owners(dimension: Dimension, atom: Atom) -> Tensor:
    """Return for each position of a dimension the index of the atom that it belongs to; -1 for none."""
    dimension = resolved(dimension)
    if dimension is atom:
        return torch.arange(atom.size)
    if isinstance(dimension, Atom):
        return torch.full((dimension.size,), -1)
    if isinstance(dimension, Sum):
        return torch.cat([owners(term, atom) for term in dimension.terms])
    found = torch.full((1,), -1)
    for factor in dimension.factors:
        inner = owners(factor, atom)
        found = torch.maximum(found[:, None].expand(-1, len(inner)), inner[None, :]).flatten()
    return found


def l1(tensor: Tensor) -> Tensor:
    """Return the magnitude of each weight (Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017)."""
    return tensor.detach().abs()


def by_weights(score: Score) -> GroupScore:
    """Return the score of groups that sums one of weights."""
    return partial(scores, score=score)


def taylor(model: nn.Module, losses: Iterable[Tensor]) -> Score:
    """Return a score of weights: the squared first-order change of the losses without each (Molchanov, CVPR 2019)."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    total = {id(parameter): torch.zeros_like(parameter) for parameter in parameters}
    for loss in losses:
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True
        ):
            if gradient is not None:
                total[id(parameter)] += gradient
    return lambda tensor: (tensor.detach() * total.get(id(tensor), torch.zeros_like(tensor))).square()


def block_scores(row: BlockRow) -> list[float]:
    """Return the importance of each block: the relative change that it makes to its input."""
    changes = []
    for before, after in row.joints:
        change = (after.float() - before.float()).norm() / before.float().norm().clamp_min(1e-12)
        changes.append(float(change))
    return changes


def orders(groups: Sequence[Group], score: GroupScore | None, seed: int) -> Mapping[Atom, Tensor]:
    """Return for each group its indices, the most important first.

    Args:
        groups: the groups.
        score: importance of each index; None for a random order.
        seed: of random orders.
    """
    generator = torch.Generator().manual_seed(seed)
    return {
        group.atom: torch.randperm(group.size, generator=generator)
        if score is None
        else score(group).argsort(descending=True, stable=True)
        for group in groups
    }
