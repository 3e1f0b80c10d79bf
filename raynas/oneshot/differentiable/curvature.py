"""The dominant eigenvalue of the Hessian of a loss: how sharp the landscape of architectures is.

Zela et al., "Understanding and Robustifying Differentiable Architecture Search" (ICLR 2020, arXiv:1909.09656): a search
collapses when it rises. Found by power iteration, the products with the Hessian as differences of gradients.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from raynas.oneshot.differentiable.order import gradients_of, moved


def dominant_eigenvalue(
    loss: Callable[[], Tensor],
    parameters: Sequence[nn.Parameter],
    *,
    n_iterations: int = 10,
    distance: float = 0.01,
    tolerance: float = 0.01,
    seed: int = 0,
) -> float:
    """Return the eigenvalue of largest magnitude.

    Args:
        loss: computes the loss with the parameters as they are; deterministic.
        parameters: that the Hessian is about; left as they are.
        n_iterations: at most; each is two gradients.
        distance: how far parameters are moved to each side, as a norm.
        tolerance: ends earlier once the estimate changes by less than this share.
        seed: of the direction it begins with.

    Returns:
        The estimate, with its sign; 0 if the loss does not depend on the parameters, or linearly.
    """
    generator = torch.Generator().manual_seed(seed)
    vector = _unit([torch.randn(p.shape, generator=generator).to(p) for p in parameters])
    value = 0.0
    for _ in range(n_iterations):
        product = _hessian_product(loss, parameters, vector, distance)
        estimate = float(sum((v * p).sum() for v, p in zip(vector, product, strict=True)))
        if _norm(product) == 0:
            return 0.0
        if abs(estimate - value) <= tolerance * abs(estimate):
            return estimate
        value, vector = estimate, _unit(product)
    return value


def _hessian_product(
    loss: Callable[[], Tensor], parameters: Sequence[nn.Parameter], vector: Sequence[Tensor], distance: float
) -> list[Tensor]:
    gradients = []
    for sign in (1.0, -1.0):
        with moved(parameters, vector, sign * distance):
            gradients.append(gradients_of(loss(), parameters))
    above, below = gradients
    return [(a - b) / (2 * distance) for a, b in zip(above, below, strict=True)]


def _norm(vector: Sequence[Tensor]) -> float:
    return float(torch.stack([v.norm() for v in vector]).norm())


def _unit(vector: Sequence[Tensor]) -> list[Tensor]:
    norm = _norm(vector) or 1.0
    return [v / norm for v in vector]
