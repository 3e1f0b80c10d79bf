"""Perturbation of the weights that shared weights are trained under (Chen and Hsieh, "SmoothDARTS", ICML 2020).

arXiv:2002.05283. Networks that work for all architectures nearby make a smooth landscape, on which the step to one
architecture loses little.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from raynas.errors import SettingError

Weights = Mapping[str, Tensor]
"""By decision, the weights of its ways and of "no operation"."""


@dataclass(frozen=True, kw_only=True)
class Perturbation(ABC):
    """Perturbation of the architecture weights before a step of the shared weights.

    Args:
        first: the largest change of a weight at the beginning.
        last: the largest change at the end; it grows linearly.

    Raises:
        SettingError: unless 0 <= first <= last <= 1.
    """

    first: float = 0.03
    last: float = 0.3

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last <= 1:
            raise SettingError(f"perturbations must be 0 <= first <= last <= 1, got {self.first} and {self.last}")

    def __call__(self, weights: Weights, loss: Callable[[Weights], Tensor], progress: float) -> dict[str, Tensor]:
        """Return the perturbed weights.

        Args:
            weights: they have no gradient.
            loss: the training loss under other weights.
            progress: the share of the training that is done, in [0, 1].
        """
        return self.moved(weights, loss, self.first + (self.last - self.first) * progress)

    @abstractmethod
    def moved(self, weights: Weights, loss: Callable[[Weights], Tensor], radius: float) -> dict[str, Tensor]:
        """Change each weight by at most ``radius``, then normalise their sum to 1."""


@dataclass(frozen=True, kw_only=True)
class RandomPerturbation(Perturbation):
    """Uniform noise (SDARTS-RS)."""

    def moved(self, weights: Weights, loss: Callable[[Weights], Tensor], radius: float) -> dict[str, Tensor]:
        return {n: on_simplex(w + torch.empty_like(w).uniform_(-radius, radius)) for n, w in weights.items()}


@dataclass(frozen=True, kw_only=True)
class AdversarialPerturbation(Perturbation):
    """Perturbation that raises the training loss most, by projected gradient ascent from a random start (SDARTS-ADV).

    Where that did not raise the loss, the weights stay as they were. Deviation: batch norms use the statistics of the
    batch during the attack, where the authors' program uses the running ones.

    Args:
        n_steps: of the ascent, each a forward and a backward pass.

    Raises:
        SettingError: if there is no step.
    """

    n_steps: int = 7

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_steps < 1:
            raise SettingError(f"an adversarial perturbation needs at least 1 step, got {self.n_steps}")

    def moved(self, weights: Weights, loss: Callable[[Weights], Tensor], radius: float) -> dict[str, Tensor]:
        with torch.no_grad():
            before = loss(weights)
        current = self._attacked(weights, loss, radius)
        with torch.no_grad():
            return dict(weights) if bool(before > loss(current)) else current

    def _attacked(self, weights: Weights, loss: Callable[[Weights], Tensor], radius: float) -> dict[str, Tensor]:
        size = 2 * radius / self.n_steps
        current = RandomPerturbation(first=0, last=1).moved(weights, loss, radius)
        for _ in range(self.n_steps):
            leaves = {name: weight.detach().requires_grad_() for name, weight in current.items()}
            gradients = torch.autograd.grad(loss(leaves), list(leaves.values()), allow_unused=True)
            for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
                ascent = leaf.detach() + (0.0 if gradient is None else size * gradient.sign())
                centre = weights[name]
                current[name] = on_simplex(centre + (ascent - centre).clamp(-radius, radius))
        return current


def on_simplex(weights: Tensor) -> Tensor:
    """Clipped to [0, 1] and divided by the sum."""
    clipped = weights.clamp(0.0, 1.0)
    return clipped / clipped.sum().clamp(min=1e-8)
