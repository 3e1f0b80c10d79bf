"""Relaxations: how real numbers, one for each way of a decision, become the weights that the ways are computed with."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from raynas.errors import SettingError
from raynas.nn.selection import Mixture


@dataclass(frozen=True, kw_only=True)
class Relaxation(ABC):
    """From architecture parameters to weights.

    All methods take ``alpha``, shape ``(n,)``, of one decision. What is random comes from torch's global generator.
    """

    normalised: ClassVar[bool] = True
    """True if the weights sum to 1, so that options compete."""

    @abstractmethod
    def weigh(self, alpha: Tensor, progress: float) -> Mixture:
        """Weights with a gradient, for a step of the architecture.

        Args:
            alpha: the architecture parameters.
            progress: the share of the training that is done, in [0, 1].
        """

    def weigh_fixed(self, alpha: Tensor, progress: float) -> Mixture:
        """Weights without a gradient, for a step of the shared weights."""
        return self.weigh(alpha.detach(), progress)

    def mean(self, alpha: Tensor) -> Tensor:
        """Weights without what is random about them, shape ``(n,)``."""
        return alpha.softmax(0)

    def rank(self, alpha: Tensor) -> Tensor:
        """Return the weights by which edges are compared when an architecture is derived."""
        return self.mean(alpha)

    def settled(self, before: Tensor, after: Tensor, mixture: Mixture) -> Tensor:
        """Return the values that a step of the architecture sets the parameters to.

        Args:
            before: the parameters before the step.
            after: what the optimizer made of them.
            mixture: the weights that the step was taken with.
        """
        return after


@dataclass(frozen=True, kw_only=True)
class Softmax(Relaxation):
    """All ways, weighted by a softmax (Liu et al., "DARTS", ICLR 2019, arXiv:1806.09055)."""

    def weigh(self, alpha: Tensor, progress: float) -> Mixture:
        return Mixture(alpha.softmax(0))


@dataclass(frozen=True, kw_only=True)
class Sigmoid(Relaxation):
    """All options, each with its own weight in (0, 1) (Chu et al., "Fair DARTS", ECCV 2020, arXiv:1911.12126)."""

    normalised: ClassVar[bool] = False

    def weigh(self, alpha: Tensor, progress: float) -> Mixture:
        return Mixture(alpha.sigmoid())

    def mean(self, alpha: Tensor) -> Tensor:
        return alpha.sigmoid()


def gumbel(like: Tensor) -> Tensor:
    """Draw standard Gumbel noise of the shape of ``like``."""
    return -torch.empty_like(like).exponential_().log()


@dataclass(frozen=True, kw_only=True)
class Concrete(Relaxation):
    """All ways, weighted by a sample of the concrete distribution (Xie et al., "SNAS", ICLR 2019, arXiv:1812.09926).

    Args:
        hot: temperature at the beginning.
        cold: temperature at the end; between them it falls by the same factor each step.

    Raises:
        SettingError: unless 0 < cold <= hot.
    """

    hot: float = 1.0
    cold: float = 0.03

    def __post_init__(self) -> None:
        _require_temperatures(self.hot, self.cold)

    def weigh(self, alpha: Tensor, progress: float) -> Mixture:
        temperature = self.hot * (self.cold / self.hot) ** progress
        return Mixture(((alpha.log_softmax(0) + gumbel(alpha.detach())) / temperature).softmax(0))


@dataclass(frozen=True, kw_only=True)
class GumbelArgmax(Relaxation):
    """One way, drawn with Gumbel noise; the gradient is that of the softmax (Dong and Yang, "GDAS", CVPR 2019).

    arXiv:1910.04465. Only the drawn way is computed.

    Args:
        hot: temperature at the beginning.
        cold: temperature at the end; between them it falls linearly.

    Raises:
        SettingError: unless 0 < cold <= hot.
    """

    hot: float = 10.0
    cold: float = 0.1

    def __post_init__(self) -> None:
        _require_temperatures(self.hot, self.cold)

    def weigh(self, alpha: Tensor, progress: float) -> Mixture:
        temperature = self.hot + (self.cold - self.hot) * progress
        soft = ((alpha.log_softmax(0) + gumbel(alpha.detach())) / temperature).softmax(0)
        drawn = int(soft.argmax())
        return Mixture(straight_through(soft, (drawn,)), active=(drawn,))


@dataclass(frozen=True, kw_only=True)
class BinaryGates(Relaxation):
    """Two ways, of which a gate opens one (Cai et al., "ProxylessNAS", ICLR 2019, arXiv:1812.00332, section 3.2).

    Both are drawn from the softmax; the gradient of the loss with respect to the gates is taken for that with respect
    to the probabilities of the two. A step leaves the probabilities of all other ways as they are. Steps of the shared
    weights compute one way only.
    """

    def weigh(self, alpha: Tensor, progress: float) -> Mixture:
        n = min(2, len(alpha))
        pair = torch.multinomial(alpha.detach().softmax(0), n)
        soft = alpha[pair].softmax(0)
        opened = int(torch.multinomial(soft.detach(), 1))
        gates = straight_through(soft, (opened,))
        return Mixture(torch.zeros_like(alpha).index_copy(0, pair, gates), active=tuple(pair.tolist()))

    def weigh_fixed(self, alpha: Tensor, progress: float) -> Mixture:
        drawn = int(torch.multinomial(alpha.detach().softmax(0), 1))
        return Mixture(functional.one_hot(torch.tensor(drawn), len(alpha)).to(alpha), active=(drawn,))

    def settled(self, before: Tensor, after: Tensor, mixture: Mixture) -> Tensor:
        pair = list(mixture.indices)
        # The mass that the two share stays, so that it only moves between them.
        moved = after[pair] - after[pair].logsumexp(0) + before[pair].logsumexp(0)
        return before.index_copy(0, torch.tensor(pair, device=before.device), moved)


@dataclass(frozen=True, kw_only=True)
class Dirichlet(Relaxation):
    """All ways, weighted by a Dirichlet sample (Chen et al., "DrNAS", ICLR 2021, arXiv:2006.10355)."""

    def weigh(self, alpha: Tensor, progress: float) -> Mixture:
        return Mixture(torch.distributions.Dirichlet(concentration(alpha)).rsample())

    def mean(self, alpha: Tensor) -> Tensor:
        beta = concentration(alpha)
        return beta / beta.sum()

    def rank(self, alpha: Tensor) -> Tensor:
        """Return a softmax, as the authors' program does; the mean would order edges differently."""
        return alpha.softmax(0)


def concentration(alpha: Tensor) -> Tensor:
    """Return the parameters of the Dirichlet distribution, ``elu(alpha) + 1``, which is 1 where alpha is 0."""
    return functional.elu(alpha) + 1


def straight_through(soft: Tensor, drawn: tuple[int, ...]) -> Tensor:
    """1 for what was drawn and 0 for the rest, with the gradient of ``soft``."""
    hard = torch.zeros_like(soft)
    hard[list(drawn)] = 1.0
    return (hard - soft.detach()) + soft


def _require_temperatures(hot: float, cold: float) -> None:
    if not 0 < cold <= hot:
        raise SettingError(f"temperatures must be 0 < cold <= hot, got hot={hot} and cold={cold}")
