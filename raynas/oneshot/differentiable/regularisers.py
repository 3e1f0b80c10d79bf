"""Regularisers: what is added to the loss of the architecture."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raynas.errors import SettingError
from raynas.oneshot.differentiable.relaxation import concentration


@dataclass(frozen=True, kw_only=True)
class Regulariser(ABC):
    """A penalty on the architecture parameters of operations.

    Args:
        weight: what the penalty is multiplied with, not negative.

    Raises:
        SettingError: if the weight is negative.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise SettingError(f"the weight of a regulariser must not be negative, got {self.weight}")

    def __call__(self, alphas: Sequence[Tensor]) -> Tensor:
        """Return the penalty, a scalar; ``alphas`` are vectors, one for each Choice, at least one."""
        return self.weight * self.penalty(alphas)

    @abstractmethod
    def penalty(self, alphas: Sequence[Tensor]) -> Tensor:
        """Return the penalty at weight 1."""


@dataclass(frozen=True, kw_only=True)
class ZeroOne(Regulariser):
    """Drives weights towards 0 or 1 (Chu et al., "Fair DARTS", ECCV 2020, arXiv:1911.12126, equation 3)."""

    weight: float = 10.0

    def penalty(self, alphas: Sequence[Tensor]) -> Tensor:
        return -(torch.cat(list(alphas)).sigmoid() - 0.5).square().mean()


@dataclass(frozen=True, kw_only=True)
class DirichletAnchor(Regulariser):
    """Keeps Dirichlet distributions near the uniform one (Chen et al., "DrNAS", ICLR 2021, arXiv:2006.10355).

    The distance is the Kullback-Leibler divergence.
    """

    weight: float = 1e-3

    def penalty(self, alphas: Sequence[Tensor]) -> Tensor:
        distances = []
        for alpha in alphas:
            learned = torch.distributions.Dirichlet(concentration(alpha))
            anchor = torch.distributions.Dirichlet(torch.ones_like(alpha))
            distances.append(torch.distributions.kl_divergence(learned, anchor))
        return torch.stack(distances).sum()


@dataclass(frozen=True, kw_only=True)
class Entropy(Regulariser):
    """Drives a softmax towards one operation: its entropy, summed over decisions."""

    weight: float = 1e-2

    def penalty(self, alphas: Sequence[Tensor]) -> Tensor:
        return torch.stack([-(a.softmax(0) * a.log_softmax(0)).sum() for a in alphas]).sum()
