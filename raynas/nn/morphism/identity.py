"""What leaves a network's function as it is: layers that pass their input through, and how to tell."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from raynas.errors import RaynasError, one_line
from raynas.nn.modes import evaluating

TOLERANCE = 1e-4
"""How far results may be off, as a share of the largest one (at least 1), before a change counts as not preserving."""


def check_same_function(before: nn.Module, after: nn.Module, input_example: Tensor, what: str) -> None:
    """Make sure that two networks give the same in eval mode.

    Raises:
        RaynasError: if they do not; names ``what`` was done.
    """
    with evaluating(before):
        expected = list(_tensors_in(before(input_example)))
    with evaluating(after):
        try:
            found = list(_tensors_in(after(input_example)))
        except Exception as error:
            raise RaynasError(
                f"{what} breaks the network, which may hold sizes in its code: {one_line(error)}"
            ) from error
    for first, second in zip(expected, found, strict=True):
        limit = TOLERANCE * max(1.0, float(first.abs().max()))
        if first.shape != second.shape or not float((first - second).abs().max()) <= limit:
            raise RaynasError(f"{what} changes what the network computes: something in it is not in its trace")


def _tensors_in(results: Any) -> Iterator[Tensor]:
    """All tensors in what a network gave."""
    if isinstance(results, Tensor):
        yield results
    elif isinstance(results, Mapping):
        yield from _tensors_in(list(results.values()))
    elif isinstance(results, list | tuple):
        for result in results:
            yield from _tensors_in(result)


def identity_weight_(weight: Tensor, groups: int = 1) -> None:
    """Fill the weight of a convolution or linear layer so that it passes its input through, as far as it can."""
    with torch.no_grad():
        if weight.dim() == 2:
            nn.init.eye_(weight)
        else:
            nn.init.dirac_(weight, groups)


def identity_norm_(norm: nn.Module, seen: Tensor) -> None:
    """Set a batch norm so that it passes ``seen`` through, in both modes; shape ``(batch, channels, ...)``."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)
    dims = [dim for dim in range(seen.dim()) if dim != 1]
    variance, mean = torch.var_mean(seen, dims, correction=int(seen.numel() > seen.shape[1]))
    with torch.no_grad():
        if norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean)


def is_relu(module: nn.Module) -> bool:
    """Whether a module is one of the activations that do nothing to their own results."""
    return isinstance(module, nn.ReLU | nn.ReLU6)


_RELU_FUNCTIONS: Mapping[Any, type[nn.Module]] = {
    torch.relu: nn.ReLU,
    functional.relu: nn.ReLU,
    functional.relu6: nn.ReLU6,
    "relu": nn.ReLU,
    "relu_": nn.ReLU,
}


def relu_of(node: fx.Node, modules: Mapping[str, nn.Module]) -> nn.Module | None:
    """A new ReLU or ReLU6 that does what ``node`` does; None if it does something else."""
    if node.op == "call_module":
        module = modules[str(node.target)]
        return type(module)() if is_relu(module) else None
    made = _RELU_FUNCTIONS.get(node.target)
    return made() if made else None
