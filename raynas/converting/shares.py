"""Share of the importance of a given model's weights that a member keeps: a score that needs no run of the member."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from raynas.converting.layer import Plan
from raynas.core.architecture import Option

Magnitudes = Mapping[str, Tensor]
"""Importance of each single weight, by the name of the parameter of the given model."""


def l1_magnitudes(model: nn.Module) -> Magnitudes:
    """Return the absolute values of the weights that connect inputs to outputs; biases and factors of norms are none.

    Args:
        model: the given one.
    """
    return {name: weight.detach().abs() for name, weight in model.named_parameters() if weight.ndim > 1}


def taylor_magnitudes(model: nn.Module, loss: Tensor) -> Magnitudes:
    """Return the first-order change of a loss without each weight, as an absolute value.

    The criterion of Molchanov et al. ("Importance Estimation for Neural Network Pruning", CVPR 2019), weight by weight.

    Args:
        model: the given one.
        loss: a scalar that depends on its parameters.
    """
    named = {name: weight for name, weight in model.named_parameters() if weight.ndim > 1 and weight.requires_grad}
    gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {
        name: (weight.detach() * gradient).abs()
        for (name, weight), gradient in zip(named.items(), gradients, strict=True)
        if gradient is not None
    }


def kept_share(plan: Plan, options: Mapping[str, Option], magnitudes: Magnitudes, *, by_layer: bool) -> float:
    """Return the share of the importance of all weights that a member keeps, from 0 to 1.

    Args:
        plan: of the converted space.
        options: those of the member.
        magnitudes: of the given model.
        by_layer: True weighs all layers alike, as criteria need whose sizes are comparable within a layer alone.
    """
    kept, dropped = plan.kept(options), plan.dropped(options)
    given = dict(plan.wiring.model.named_parameters())
    shares, wholes = [], []
    for name, magnitude in magnitudes.items():
        whole = float(magnitude.sum(dtype=torch.float64))
        if not whole:
            continue
        part = magnitude
        for axis, index in plan.wiring.indices(given[name], kept):
            part = part.index_select(axis, index.to(part.device))
        gone = any(name.startswith(f"{path}.") for path in dropped)
        shares.append(0.0 if gone else float(part.sum(dtype=torch.float64)) / whole)
        wholes.append(1.0 if by_layer else whole)
    total = sum(wholes)
    return sum(share * whole for share, whole in zip(shares, wholes, strict=True)) / total if total else 0.0
