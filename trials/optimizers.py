"""Optimizers and learning rate schedules by name."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from raynas.trials.gradient_training import GradientTraining


def _sgd(model: nn.Module, settings: "GradientTraining") -> torch.optim.Optimizer:
    return torch.optim.SGD(
        model.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.nesterov and settings.momentum > 0,
        weight_decay=settings.weight_decay,
        foreach=True,
    )


def _adam(kind: type[torch.optim.Adam], model: nn.Module, settings: "GradientTraining") -> torch.optim.Optimizer:
    return kind(
        model.parameters(),
        lr=settings.learning_rate,
        betas=(settings.momentum, 0.999),
        weight_decay=settings.weight_decay,
        foreach=True,
    )


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
