"""Updates of the running statistics of batch norms, applied together: on a GPU each alone would cost a launch."""

from collections import defaultdict
from typing import TypeGuard

import torch
from torch import Tensor, nn


class RunningStatistics:
    """Updates of batch norms in train mode that wait for the end of a forward pass.

    A second update of a batch norm applies those that wait, so that each sees the one before.
    """

    def __init__(self) -> None:
        self._counted: dict[int, Tensor] = {}
        self._moved: dict[float, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        self._norms: set[int] = set()

    def count(self, norm: nn.BatchNorm2d) -> None:
        """Count a batch of which the statistics were taken over already."""
        assert norm.num_batches_tracked is not None
        if id(norm.num_batches_tracked) in self._counted:
            self.apply()
        self._counted[id(norm.num_batches_tracked)] = norm.num_batches_tracked

    def move(self, norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
        """Count a batch, and move the running statistics towards its mean and unbiased variance, ``(channels,)``."""
        if id(norm) in self._norms:
            self.apply()
        self._norms.add(id(norm))
        self.count(norm)
        assert norm.momentum is not None and norm.running_mean is not None and norm.running_var is not None
        self._moved[norm.momentum] += [(norm.running_mean, mean), (norm.running_var, variance)]

    @torch.no_grad()
    def apply(self) -> None:
        """Apply all updates that wait."""
        if self._counted:
            torch._foreach_add_(list(self._counted.values()), 1)
        for momentum, pairs in self._moved.items():
            targets, values = zip(*pairs, strict=True)
            torch._foreach_lerp_(targets, values, momentum)
        self._counted, self._moved, self._norms = {}, defaultdict(list), set()


def moves(layer: object) -> TypeGuard[nn.BatchNorm2d]:
    """Return whether a batch norm moves its running statistics by a fixed share of each batch."""
    if not isinstance(layer, nn.BatchNorm2d):
        return False
    return layer.training and layer.momentum is not None and layer.num_batches_tracked is not None
