"""Layers that pass their input through, and a check that two networks compute the same function."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments, Inputs
from raynas.errors import RaynasError, one_line
from raynas.nn.dimensions.model_trace import Step
from raynas.nn.modes import evaluating

TOLERANCE = 1e-4
"""Maximum difference of outputs, relative to the largest one (at least 1), of a function-preserving change."""


def check_same_function(before: nn.Module, after: nn.Module, input_example: Inputs, change: str) -> None:
    """Check that two networks have the same output in eval mode.

    Args:
        before: the network before the change.
        after: the network after it.
        input_example: a batch for both.
        change: its name, for errors.

    Raises:
        RaynasError: if the outputs differ, or ``after`` cannot run.
    """
    inputs = Arguments.of(input_example)
    with evaluating(before):
        expected = list(_tensors_in(inputs.call(before)))
    with evaluating(after):
        try:
            found = list(_tensors_in(inputs.call(after)))
        except Exception as error:
            raise RaynasError(
                f"{change} breaks the network, which may hold sizes in its code: {one_line(error)}"
            ) from error
    for first, second in zip(expected, found, strict=True):
        limit = TOLERANCE * max(1.0, float(first.abs().max()))
        if first.shape != second.shape or not float((first - second).abs().max()) <= limit:
            raise RaynasError(f"{change} changes what the network computes: something in it is not in its trace")


def _tensors_in(results: object) -> Iterator[Tensor]:
    """Yield all tensors in the output of a network."""
    if isinstance(results, Tensor):
        yield results
    elif isinstance(results, Mapping):
        yield from _tensors_in(list(results.values()))
    elif isinstance(results, list | tuple):
        for result in results:
            yield from _tensors_in(result)


def identity_weight_(weight: Tensor, groups: int = 1) -> None:
    """Fill the weight of a convolution or linear layer with the identity, as far as its shape allows."""
    with torch.no_grad():
        if weight.dim() == 2:
            nn.init.eye_(weight)
        else:
            nn.init.dirac_(weight, groups)


BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def identity_norm_(norm: nn.Module, seen: Tensor) -> None:
    """Set a batch norm so that it passes a batch through unchanged, in both modes.

    Args:
        norm: the batch norm.
        seen: the batch, shape ``(batch, channels, ...)``.
    """
    assert isinstance(norm, BATCH_NORMS)
    dims = [dim for dim in range(seen.dim()) if dim != 1]
    variance, mean = torch.var_mean(seen, dims, correction=int(seen.numel() > seen.shape[1]))
    with torch.no_grad():
        if norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean)


def add_noise_(tensor: Tensor, scale: float, rng: np.random.Generator) -> None:
    """Add normal noise of standard deviation ``scale``, in place."""
    with torch.no_grad():
        tensor += torch.from_numpy(rng.normal(0.0, scale, tuple(tensor.shape))).to(tensor)


def is_relu(module: nn.Module) -> bool:
    """Return whether a module is one of the idempotent activations, which leave their own outputs unchanged."""
    return isinstance(module, nn.ReLU | nn.ReLU6)


def relu_of(step: Step) -> nn.Module | None:
    """Return a new ReLU or ReLU6 that computes the same as an operation; None if it is another one."""
    if step.name == "relu":
        return nn.ReLU()
    return nn.ReLU6() if step.name == "hardtanh" and tuple(step.arguments[1:]) == (0, 6) else None
