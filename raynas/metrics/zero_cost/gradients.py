"""Proxies made of the loss's gradient at initialisation.

As in Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021, arXiv:2101.08134, a network's score is the
sum of its weights' scores, where pruning methods rank single weights. Weights are all parameters of two or more
dimensions.
"""

import math

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from raynas.errors import RaynasError
from raynas.metrics.zero_cost.passes import View, gradients, outputs_of, weights_of
from raynas.metrics.zero_cost.twice import quick_twice


def grad_norm(view: View) -> float:
    """Sum the Euclidean norms of the layers' gradients (Abdelfattah et al., 2021)."""
    return sum(float(g.norm()) for g in view.seen.weight_gradients)


def snip(view: View) -> float:
    """Sum ``|w * dL/dw|``: Lee et al., "SNIP", ICLR 2019, arXiv:1810.02340, equation 5, not normalised."""
    seen = view.seen
    return sum(float((w * g).abs().sum()) for w, g in zip(seen.weights, seen.weight_gradients, strict=True))


def grasp(view: View) -> float:
    """Sum -w * (Hg): Wang et al., "GraSP", ICLR 2020, arXiv:2002.07376, equation 8, at temperature 1.

    H is the Hessian and g the gradient of the loss. The paper divides outputs by 200 first and draws more batches.
    Only the weights' part of H counts.
    """
    # Fused kernels of attention have no second derivatives.
    with view.seeded(), sdpa_kernel(SDPBackend.MATH):
        model = view.fresh_copy()
        quick_twice(model)
        weights = weights_of(model)
        loss = view.loss(outputs_of(model, view.inputs), view.labels)
        if not loss.requires_grad:
            return 0.0
        first = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
        product = torch.stack([(g * g.detach()).sum() for g in first if g is not None]).sum()
        second = gradients(product, weights)
    return -sum(float((w.detach() * h).sum()) for w, h in zip(weights, second, strict=True))


def fisher(view: View) -> float:
    """Sum over channels c ``w_c/(2N) * sum_n (sum_ij A_nijc * dL/dA_nijc)^2``, where w_c is the size of c's filter.

    Turner et al., "BlockSwap", ICLR 2020, arXiv:1906.04113, equation 2, for what each layer with weights puts out, as
    Abdelfattah et al. score networks: their program gives each weight the score of its channel and sums over weights,
    from which w_c comes, a factor that the equation does not have. Turner et al. take what each block puts out.
    """
    seen = view.seen
    layers = zip(seen.maps, seen.map_gradients, seen.map_weights, strict=True)
    return sum(_fisher_of_layer(*layer) for layer in layers)


def _fisher_of_layer(maps: Tensor, gradient: Tensor, n_weights: int) -> float:
    """Score one layer; ``maps`` is ``(batch, channels, ...)`` or, of a linear layer, ``(batch, ..., features)``."""
    per_channel = maps * gradient
    if per_channel.ndim > 3:
        per_channel = per_channel.flatten(2).sum(2)
    elif per_channel.ndim == 3:
        per_channel = per_channel.sum(1)
    return float(per_channel.double().square().sum()) / (2 * len(maps)) * (n_weights / per_channel.shape[1])


def zico(view: View) -> float:
    """Sum over layers ``log(sum(E|g| / std(g)))``: Li et al., "ZiCo", ICLR 2023, arXiv:2301.11300.

    Mean and standard deviation of a weight's gradient g are over the two halves of the batch (the paper's two batches).
    Weights whose gradient does not vary are left out, and layers that have no others, as in the authors' code.

    Raises:
        RaynasError: if no layer is left.
    """
    half = len(view.labels) // 2
    with view.seeded():
        model = view.fresh_copy()
        first, second = (
            view.loss_gradients(model, view.inputs.part(part), view.labels[part])
            for part in (slice(half), slice(half, 2 * half))
        )
    layers = [_signal_to_noise(a, b) for a, b in zip(first, second, strict=True)]
    if not any(layers):
        raise RaynasError("zico cannot be computed: no weight has a gradient that varies")
    return sum(math.log(layer) for layer in layers if layer)


def _signal_to_noise(a: Tensor, b: Tensor) -> float:
    deviation = (a - b).abs() / 2  # of two values, around their mean
    varies = deviation > 0
    mean = (a.abs() + b.abs()) / 2
    return float((mean[varies] / deviation[varies]).double().sum())


def l2_norm(view: View) -> float:
    """Sum the Euclidean norms of the layers' weights (Abdelfattah et al., 2021)."""
    return sum(float(p.detach().norm()) for p in view.model.parameters() if p.ndim > 1)
