"""Proxies of expressivity: how a network tells inputs apart before any training."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from raynas.core.inputs import Arguments
from raynas.errors import RaynasError
from raynas.metrics.zero_cost.copies import channels_last
from raynas.metrics.zero_cost.passes import View, norms_of, outputs_of, weights_of


def naswot(view: View) -> float:
    """Return the log-determinant of the matrix that counts activations with equal codes for each pair of images.

    Mellor et al., "Neural Architecture Search without Training", ICML 2021, arXiv:2006.04647, equation 2. A unit is on
    where the input of its activation function is positive, also for functions other than ReLU (SiLU, hard swish,
    GELU ...). All activation functions that run count, also those whose result is not used.

    Raises:
        RaynasError: if there are none, or if two images cannot be told apart.
    """
    agreement = view.seen.agreement
    if not agreement.numel():
        raise RaynasError("naswot needs activation functions such as ReLU; the network has none")
    values = torch.linalg.eigvalsh(agreement)
    if float(values[0]) <= len(values) * torch.finfo(values.dtype).eps * float(values[-1]):
        raise RaynasError("naswot is minus infinity: the activations of some images are the same everywhere")
    return float(values.log().sum())


ZEN_STEP = 0.01
"""The size of the perturbation relative to the input, the paper's alpha."""


def zen(view: View) -> float:
    """``log(E|f(x) - f(x + 0.01 e)|)`` plus the sum over batch norms of ``log(sigma)``; it needs no data.

    Lin et al., "Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition", ICCV 2021, arXiv:2102.01063,
    algorithm 1. Weights, x and e are standard normal; f is what goes into global pooling (without one, into the last
    linear layer); sigma is the root of the mean variance that a batch norm divides by. Batch norms that get nothing
    but constants (dead edges) are left out. Shortcuts stay, and x is one batch of the given size, where the paper
    cuts shortcuts within blocks and draws 32 batches of 16.

    Raises:
        RaynasError: if no input is one of real numbers, which alone can be changed a little.
    """
    if not any(t.is_floating_point() for t in view.inputs.tensors):
        raise RaynasError("zen needs an input of real numbers, which can be changed a little; token ids cannot")
    with view.seeded(), torch.no_grad():
        model = view.fresh_copy()
        _standard_normal(model)
        x, e = (view.inputs.map_real(lambda t: channels_last(torch.randn_like(t))) for _ in range(2))
        spreads: list[float] = []
        hooks = [norm.register_forward_pre_hook(_spread_into(spreads)) for norm in norms_of(model)]
        before = _features(model, x)
        for hook in hooks:
            hook.remove()
        steps = iter([t for t in e.tensors if t.is_floating_point()])
        after = _features(model, x.map_real(lambda t: t + ZEN_STEP * next(steps)))
    distance = float((before - after).flatten(1).double().norm(dim=1).mean())
    if not distance > 0:
        raise RaynasError(f"zen is not finite: a change of the input changes the features by {distance}")
    return math.log(distance) + sum(math.log(spread) for spread in spreads if spread)


def _standard_normal(model: nn.Module) -> None:
    weights = {id(weight) for weight in weights_of(model)}
    norms = {id(norm.weight) for norm in norms_of(model) if getattr(norm, "weight", None) is not None}
    for parameter in model.parameters():
        if id(parameter) in weights:
            parameter.normal_()
        else:
            parameter.fill_(float(id(parameter) in norms))


def _spread_into(spreads: list[float]) -> Any:
    def measure(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if isinstance(module, _NormBase):
            x = args[0]
            variance = x.var([d for d in range(x.ndim) if d != 1], correction=0)
            spreads.append(float(variance.mean().sqrt()))

    return measure


_GLOBAL_POOLING = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool2d)


def _features(model: nn.Module, x: Arguments) -> Tensor:
    """Return the input of the last global pooling, or else of the last linear layer, or else the output."""
    taken: dict[type, Tensor] = {}

    def take(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        taken[nn.Linear if isinstance(module, nn.Linear) else nn.Module] = args[0]

    places = [m for m in model.modules() if isinstance(m, (nn.Linear, *_GLOBAL_POOLING)) and _is_global(m)]
    hooks = [place.register_forward_pre_hook(take) for place in places]
    outputs = outputs_of(model, x)
    for hook in hooks:
        hook.remove()
    return taken.get(nn.Module, taken.get(nn.Linear, outputs))


def _is_global(module: nn.Module) -> bool:
    """Return True if a module is linear, or pools an image into one pixel."""
    size = getattr(module, "output_size", 1)
    return all(n == 1 for n in (size if isinstance(size, tuple) else (size,)))
