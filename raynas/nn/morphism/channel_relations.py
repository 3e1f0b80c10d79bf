"""ChannelRelations: the tensors of a traced network whose channels are the same ones, or follow from one another."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, fx

Copies = Tensor
"""Index of the old channel that each new channel copies, shape ``(n_new,)``."""

Combine = Callable[[Sequence[Copies]], Copies]
"""Computes the copies in a tensor from those in the tensors that it is made of."""


class Derived(NamedTuple):
    """A tensor whose channels follow from those of other tensors, such as a concatenation."""

    node: fx.Node
    sources: Sequence[fx.Node]
    combine: Combine


def n_copies(copies: Copies) -> Tensor:
    """Return for each new channel the number of new channels that copy the same old one, shape ``(n_new,)``."""
    return torch.bincount(copies)[copies]


class ChannelRelations:
    """Relations between the channels of tensors.

    Tensors with the same channels, such as those before and after an activation, or the summands of a residual
    addition, form a group (kept as a disjoint-set forest).

    Args:
        shapes: of the tensors.

    Attributes:
        axis: dimension of the channels of each tensor.
        derived: tensors whose channels follow from those of others.
        fixed: tensors whose channels cannot be changed, with the reason.
    """

    def __init__(self, shapes: Mapping[fx.Node, torch.Size]) -> None:
        self.shapes = shapes
        self.axis: dict[fx.Node, int] = {}
        self.derived: list[Derived] = []
        self.fixed: list[tuple[fx.Node, str]] = []
        self._parent: dict[fx.Node, fx.Node] = {}

    def n_channels(self, node: fx.Node) -> int:
        """Return the number of channels of a tensor."""
        return self.shapes[node][self.axis[node]]

    def root(self, node: fx.Node) -> fx.Node:
        """Return the tensor that represents the group of a tensor."""
        while (above := self._parent.get(node, node)) is not node:
            node = above
        return node

    def tie(self, first: fx.Node, second: fx.Node) -> None:
        """Put two tensors into one group."""
        self._parent[self.root(first)] = self.root(second)

    def derive(self, node: fx.Node, sources: Sequence[fx.Node], combine: Combine) -> None:
        """Let the channels of a tensor follow from those of others."""
        self.derived.append(Derived(node, sources, combine))

    def fix(self, nodes: Sequence[fx.Node], reason: str) -> None:
        """Forbid changes of the channels of tensors."""
        self.fixed += [(node, reason) for node in nodes]
