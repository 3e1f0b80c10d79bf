"""Alternatives that keep nothing of a block's code: a linear map, and no computation at all."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from raynas.compressing.assembling.blocks import Call
from raynas.errors import SpaceError
from raynas.nn.dimensions.tracing import tensors_in
from raynas.nn.morphism.layer_kinds import Conv
from raynas.nn.replacements import InPlaceOf, Zeros

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)

RIDGE = 1e-3
"""Weight of the penalty of a linear map's difference from the identity, or from zero, relative to its inputs' power."""


def skip(block: nn.Module, call: Call) -> nn.Module:
    """Return the identity, or zeros where these are nearer to the block's outputs, as they are inside a sum.

    Raises:
        SpaceError: if the block's output has another shape than its input.
    """
    x, y = call.taken, call.given
    if x.shape != y.shape:
        raise SpaceError(f"it makes {tuple(y.shape)} of {tuple(x.shape)}, so it cannot be left out")
    is_nearer = bool((y - x).double().square().sum() <= y.double().square().sum())
    return _in_place(nn.Identity() if is_nearer else Zeros(), call)


def linear(block: nn.Module, call: Call) -> nn.Module:
    """Return a linear map of features, the same at all positions, behind an average where the block makes fewer.

    Raises:
        SpaceError: if the block's outputs have other positions than its inputs, but not every n-th in each direction.
    """
    x, y = call.taken, call.given
    if x.ndim < 2 or x.ndim != y.ndim or len(x) != len(y):
        raise SpaceError(f"it makes {tuple(y.shape)} of {tuple(x.shape)}, which no map of features does")
    is_conv = 2 < x.ndim < 6 and any(isinstance(m, Conv) and m.in_channels == x.shape[1] for m in block.modules())
    axis = 1 if is_conv else x.ndim - 1
    stride = _stride(_others(x.shape, axis), _others(y.shape, axis))
    if stride > 1 and not is_conv:
        raise SpaceError(f"it makes {tuple(y.shape)} of {tuple(x.shape)}, which no map of features does")
    n_in, n_out = x.shape[axis], y.shape[axis]
    layer: nn.Module = CONVOLUTIONS[x.ndim - 3](n_in, n_out, 1) if is_conv else nn.Linear(n_in, n_out)
    if stride > 1:
        layer = nn.Sequential(POOLS[x.ndim - 3](stride), layer)
    return _in_place(layer.to(x.device, x.dtype), call)


def set_nearest(module: nn.Module, call: Call) -> None:
    """Set a linear map to the one that is nearest to a block on a batch, in place.

    Args:
        module: made by ``linear``.
        call: of the block on the batch.
    """
    layer: Any = next(m for m in module.modules() if isinstance(m, (nn.Linear, *Conv)))
    pool = next((m for m in module.modules() if isinstance(m, POOLS)), nn.Identity())
    axis = call.taken.ndim - 1 if isinstance(layer, nn.Linear) else 1
    weight, bias = _nearest(_rows(pool(call.taken), axis), _rows(call.given, axis))
    with torch.no_grad():
        layer.weight.copy_(weight.view_as(layer.weight))
        layer.bias.copy_(bias)


def _others(shape: Sequence[int], axis: int) -> list[int]:
    return [size for i, size in enumerate(shape) if i not in (0, axis)]


def _stride(before: Sequence[int], after: Sequence[int]) -> int:
    ratios = {a // b if b and a % b == 0 else 0 for a, b in zip(before, after, strict=True)} or {1}
    if len(ratios) > 1 or 0 in ratios:
        raise SpaceError(
            f"it makes {list(after)} positions of {list(before)}, which no average over equal windows does"
        )
    return ratios.pop()


def _rows(x: Tensor, axis: int) -> Tensor:
    return x.detach().movedim(axis, -1).flatten(0, -2).double()


def _nearest(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the ridge regression of ``y`` on ``x``, towards the identity where that is possible."""
    x_mean, y_mean = x.mean(0), y.mean(0)
    centred = x - x_mean
    prior = torch.eye(y.shape[1], x.shape[1], dtype=x.dtype, device=x.device)
    if x.shape[1] != y.shape[1] or (y - x).square().sum() > y.square().sum():
        prior.zero_()
    rest = (y - y_mean) - centred @ prior.T
    square = centred.T @ centred
    penalty = RIDGE * square.diagonal().mean().clamp_min(1e-12)
    eye = torch.eye(len(square), dtype=x.dtype, device=x.device)
    weight = prior + torch.linalg.solve(square + penalty * eye, centred.T @ rest).T
    return weight, y_mean - weight @ x_mean


def _in_place(layer: nn.Module, call: Call) -> nn.Module:
    """Return a layer of one tensor with the arguments and results of a block's call.

    Raises:
        SpaceError: if the block gives more than one tensor.
    """
    given = call.output
    n_results = len(given) if isinstance(given, tuple | list) else 0
    if not isinstance(given, Tensor) and not (n_results and given[0] is call.given):
        raise SpaceError(f"the block gives a {type(given).__name__}, not a tensor")
    if n_results and (type(given) not in (tuple, list) or any(True for _ in tensors_in(list(given[1:])))):
        raise SpaceError("the block gives several tensors")
    args, kwargs = call.arguments.args, call.arguments.kwargs
    is_first = bool(args) and args[0] is call.taken
    name = "" if is_first else next((name for name, value in kwargs.items() if value is call.taken), None)
    if name is None:
        raise SpaceError("the block's first tensor is no argument by itself")
    if is_first and len(args) == 1 and not kwargs and not n_results:
        return layer
    return InPlaceOf(layer, name, n_results)
