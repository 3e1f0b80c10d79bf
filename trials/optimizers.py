"""Optimizers and learning rate schedules by name."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from raynas.trials.gradient_training import GradientTraining


def _sgd(model: nn.Module, settings: "GradientTraining") -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.nesterov and settings.momentum > 0,
        weight_decay=settings.weight_decay,
        **_implementation(model),
    )
    if optimizer.defaults["fused"] and settings.momentum:
        optimizer.register_step_pre_hook(_fill_momentum)
    return optimizer


def _adam(kind: type[torch.optim.Adam], model: nn.Module, settings: "GradientTraining") -> torch.optim.Optimizer:
    return kind(
        model.parameters(),
        lr=settings.learning_rate,
        betas=(settings.momentum, 0.999),
        weight_decay=settings.weight_decay,
        **_implementation(model),
    )


def _implementation(model: nn.Module) -> dict[str, bool]:
    """Return the fastest way to compute a step: on a GPU one kernel, else operations on lists of weights."""
    is_fused = all(p.device.type == "cuda" and p.is_floating_point() for p in model.parameters())
    return {"fused": True} if is_fused else {"foreach": True}


def _fill_momentum(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    """Give weights with a first gradient a momentum of zero: the kernel fails where some have none yet.

    A step then gives what it gives without: torch takes the first gradient as the momentum.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None and optimizer.state[parameter].get("momentum_buffer") is None:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


OPTIMIZERS: Mapping[str, Callable[[nn.Module, "GradientTraining"], torch.optim.Optimizer]] = {
    "adam": partial(_adam, torch.optim.Adam),
    "adamw": partial(_adam, torch.optim.AdamW),
    "sgd": _sgd,
}
"""Optimizers by name."""

SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
}
"""Learning rate schedules by name: the factor on the rate, given the completed share of the training in [0, 1]."""
