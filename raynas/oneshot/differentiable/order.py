"""Second order: the gradient for the architecture, one step of the weights ahead (Liu et al., "DARTS", ICLR 2019).

Equations 6 to 8 of arXiv:1806.09055: the weights are moved by one training step, and the product with the Hessian that
follows from it is a difference of two gradients.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from raynas.errors import RaynasError

DISTANCE = 0.01
"""Norm of the step of the finite difference; the paper's value."""

Loss = Callable[[], Tensor]
"""Computes a loss with the parameters as they are; the same randomness at each call."""


class Unrolled:
    """The gradient of ``valid(w - step(w))`` with respect to architecture parameters.

    Args:
        weights: the shared weights that have gradients.
        alphas: the architecture parameters.
        optimizer: SGD over the weights; its learning rate, momentum and weight decay make the step.
        train: the loss that the step follows.
        valid: the loss after it.

    Raises:
        RaynasError: if the optimizer is not SGD.
    """

    def __init__(
        self,
        weights: Sequence[nn.Parameter],
        alphas: Sequence[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        *,
        train: Loss,
        valid: Loss,
    ) -> None:
        require_sgd(optimizer)
        self.weights, self.alphas = list(weights), list(alphas)
        self.optimizer, self.train, self.valid = optimizer, train, valid
        self.groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}

    def gradients(self) -> tuple[list[Tensor], Tensor]:
        """Return the gradient for each architecture parameter, and the validation loss after the step."""
        steps = self._steps(gradients_of(self.train(), self.weights))
        with moved(self.weights, steps, -1.0):
            loss = self.valid()
            found = gradients_of(loss, [*self.weights, *self.alphas])
        towards, direct = found[: len(self.weights)], found[len(self.weights) :]
        with torch.no_grad():
            # How a gradient enters the step, so the step's derivative is a product of the Hessian with this.
            towards = [self._share(w) * g for w, g in zip(self.weights, towards, strict=True)]
        implicit = self._hessian_product(towards)
        return [d - i for d, i in zip(direct, implicit, strict=True)], loss.detach()

    def _steps(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Return the step that the optimizer would subtract from each weight."""
        steps = []
        with torch.no_grad():
            for weight, gradient in zip(self.weights, gradients, strict=True):
                group = self.groups[id(weight)]
                momentum, decayed = group["momentum"], gradient + group["weight_decay"] * weight
                before = self.optimizer.state.get(weight, {}).get("momentum_buffer")
                buffer = decayed if before is None else momentum * before + (1 - group["dampening"]) * decayed
                step = decayed + momentum * buffer if group["nesterov"] else buffer
                steps.append(group["lr"] * step)
        return steps

    def _share(self, weight: nn.Parameter) -> float:
        """Return the factor of a gradient in the step of its weight."""
        group = self.groups[id(weight)]
        first = self.optimizer.state.get(weight, {}).get("momentum_buffer") is None
        in_buffer = 1.0 if first else 1.0 - group["dampening"]
        share = 1.0 + group["momentum"] * in_buffer if group["nesterov"] else in_buffer
        return float(group["lr"] * share)

    def _hessian_product(self, vector: Sequence[Tensor]) -> list[Tensor]:
        """Return the mixed second derivative of the training loss, times a direction of the weights."""
        norm = float(torch.stack([v.norm() for v in vector]).norm())
        if norm == 0:
            return [torch.zeros_like(alpha) for alpha in self.alphas]
        epsilon = DISTANCE / norm
        with moved(self.weights, vector, epsilon):
            above = gradients_of(self.train(), self.alphas)
        with moved(self.weights, vector, -epsilon):
            below = gradients_of(self.train(), self.alphas)
        return [(a - b) / (2 * epsilon) for a, b in zip(above, below, strict=True)]


def require_sgd(optimizer: torch.optim.Optimizer) -> None:
    """Refuse optimizers whose step has no known derivative.

    Raises:
        RaynasError: if it is not SGD.
    """
    if not isinstance(optimizer, torch.optim.SGD):
        kind = type(optimizer).__name__
        raise RaynasError(f"the second order needs torch.optim.SGD for the shared weights, got {kind}")


@contextmanager
def moved(weights: Sequence[nn.Parameter], vector: Sequence[Tensor], factor: float) -> Iterator[None]:
    """Move weights by ``factor * vector`` until the context ends, and then back to exactly where they were."""
    before = [weight.detach().clone() for weight in weights]
    try:
        with torch.no_grad():
            for weight, v in zip(weights, vector, strict=True):
                weight.add_(v, alpha=factor)
        yield
    finally:
        with torch.no_grad():
            for weight, saved in zip(weights, before, strict=True):
                weight.copy_(saved)


def gradients_of(loss: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Gradients of a loss, zero where the loss does not depend on a parameter."""
    if not loss.requires_grad:
        return [torch.zeros_like(parameter) for parameter in parameters]
    found = torch.autograd.grad(loss, list(parameters), allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
