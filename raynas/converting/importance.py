"""Importance of channels, heads and blocks: the order in which smaller members keep them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from raynas.converting.blocks import BlockRow
from raynas.converting.groups import Group
from raynas.nn.dimensions.expressions import Atom, Dimension, Sum, resolved

Importance = Literal["l1", "taylor", "activation", "random"]
"""Name of a criterion."""

GroupScore = Callable[[Group], Tensor]
"""Importance of each index of a group."""


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


def per_index(values: Tensor, dimension: Dimension, atom: Atom) -> Tensor:
    """Return sums of the values at the positions of a dimension, for each index of an atom."""
    owner = owners(dimension, atom)
    found = torch.zeros(atom.size, dtype=torch.float64)
    return found.index_add_(0, owner[owner >= 0], values[owner >= 0])


def marginal(tensor: Tensor, axis: int) -> Tensor:
    """Return the sums over all other dimensions."""
    others = [other for other in range(tensor.ndim) if other != axis]
    values = tensor.detach().double().cpu()
    return values.sum(others) if others else values


def l1(group: Group) -> Tensor:
    """Return the size of the weights that produce or take in each index, those of each layer divided by their mean.

    Filters are ranked by their L1 norm as by Li et al. ("Pruning Filters for Efficient ConvNets", ICLR 2017), and all
    layers of a group count as in DepGraph (Fang et al., CVPR 2023): a norm behind a layer undoes the size of that
    layer's weights, but not of the next layer's.
    """
    total = torch.zeros(group.size, dtype=torch.float64)
    for slot in [slot for slot in group.slots if slot.tensor.ndim > 1] or group.slots:
        values = per_index(marginal(slot.tensor.abs(), slot.axis), slot.dimension, group.atom)
        total += values / values.mean().clamp_min(1e-30)
    return total


def taylor(model: nn.Module, losses: Iterable[Tensor]) -> GroupScore:
    """Return the squared first-order change of the losses without each index, the mean over the losses.

    This is the criterion of Molchanov et al. ("Importance Estimation for Neural Network Pruning", CVPR 2019) with a
    gate at each index, where the layers that take it in get it: the derivative by the gate is the sum of their weights
    for it, times the gradients. Where no layer takes it in, the gate is behind the layers that put it out.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    changes: list[dict[int, list[Tensor]]] = []
    for loss in losses:
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        changes.append(
            {
                id(parameter): [marginal(parameter * gradient, axis) for axis in range(parameter.ndim)]
                for parameter, gradient in zip(parameters, gradients, strict=True)
                if gradient is not None
            }
        )

    def score(group: Group) -> Tensor:
        weights = [slot for slot in group.slots if slot.tensor.ndim > 1] or list(group.slots)
        gates = [slot for slot in weights if not slot.produces] or weights
        total = torch.zeros(group.size, dtype=torch.float64)
        for change in changes:
            reached = [slot for slot in gates if id(slot.tensor) in change]
            parts = [per_index(change[id(s.tensor)][s.axis], s.dimension, group.atom) for s in reached]
            total += torch.stack(parts).sum(0).square() if parts else 0
        return total

    return score


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
        groups: the groups; groups that are tied to them get other orders.
        score: importance of each index; None for a random order.
        seed: of random orders.
    """
    generator = torch.Generator().manual_seed(seed)
    return {
        group.atom: torch.randperm(group.size, generator=generator)
        if score is None
        else score(group).argsort(descending=True, stable=True)
        for tie in groups
        for group in tie.all
    }
