"""Outputs of models, and how far they are apart."""

import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments
from raynas.nn.dimensions.tracing import tensors_in

TOLERANCE = 1e-5
"""Largest difference of outputs, as a share of the largest output."""


def first(model: nn.Module, example: Arguments) -> Tensor:
    """Return the first tensor of the output."""
    with torch.no_grad():
        return next(tensors_in(example.call(model)))


def output(model: nn.Module, example: Arguments) -> Tensor:
    """Return the first tensor of the output of a model in double precision."""
    return first(model, example.map_real(Tensor.double))


def gap(value: Tensor, expected: Tensor) -> float:
    """Return the largest difference as a share of the largest expected value; infinity for other shapes."""
    if value.shape != expected.shape:
        return float("inf")
    return float((value - expected).abs().max() / expected.abs().max().clamp_min(1e-30))
