"""Convolutions and batch norms that are quick to differentiate twice.

The second derivatives that torch has of them are made of many small steps, and of convolutions in forms that have no
fast kernels on a CPU; here they are made of the very operations that the first derivatives are made of.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

Settings = tuple[Any, ...]
"""Stride, padding, dilation and groups of a convolution of images."""


def quick_twice(model: nn.Module) -> None:
    """Let the plain 2d convolutions and batch norms of ``model``, in train mode, be differentiated by these.

    Batch norms no longer update what they remember, and their own parameters get no gradient.
    """
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.forward = partial(normalise, module)  # type: ignore[method-assign]
        if type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str):
            module.forward = partial(_convolved, module)  # type: ignore[method-assign]


def _convolved(module: nn.Conv2d, x: Tensor) -> Tensor:
    if x.ndim != 4:
        return nn.Conv2d.forward(module, x)
    y = convolve(x, module.weight, (module.stride, module.padding, module.dilation, module.groups))
    return y if module.bias is None else y + _per_channel(module.bias)


def convolve(x: Tensor, weight: Tensor, settings: Settings) -> Tensor:
    """Convolve ``x`` of shape ``(batch, channels, height, width)``, without a bias."""
    y: Tensor = _Convolution.apply(x, weight, settings)
    return y


def _forward(x: Tensor, weight: Tensor, settings: Settings) -> Tensor:
    return torch.nn.functional.conv2d(x, weight, None, *settings)


def _backward(y: Tensor, x: Tensor, weight: Tensor, settings: Settings, wanted: tuple[bool, bool]) -> Any:
    """Return the gradients for ``x`` and ``weight``, given that of the output; None where not requested."""
    stride, padding, dilation, groups = settings
    mask = [*wanted, False]
    found = torch.ops.aten.convolution_backward(
        y, x, weight, None, stride, padding, dilation, False, (0, 0), groups, mask
    )
    return found[:2]


class _Convolution(Function):
    """y = conv(x, w)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, settings: Settings) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.settings = settings
        return _forward(x, weight, settings)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, weight = ctx.saved_tensors
        return (*_Gradients.apply(grads[0], x, weight, ctx.settings, ctx.needs_input_grad[:2]), None)


class _Gradients(Function):
    """The gradients of a convolution, which are bilinear: each derivative is a convolution or a gradient of one."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, x: Tensor, weight: Tensor, settings: Settings, wanted: tuple[bool, bool]) -> Any:
        ctx.save_for_backward(y, x, weight)
        ctx.settings = settings
        ctx.set_materialize_grads(False)
        return tuple(_backward(y, x, weight, settings, wanted))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """From the gradients for gx and gw to those for the output's gradient y, for x and for w."""
        (y, x, weight), settings = ctx.saved_tensors, ctx.settings
        for_x, for_weight = grads
        of_y = of_x = of_weight = None
        if for_x is not None:
            of_y = _forward(for_x, weight, settings)
            if ctx.needs_input_grad[2]:
                of_weight = _backward(y, for_x, weight, settings, (False, True))[1]
        if for_weight is not None:
            other = _forward(x, for_weight, settings)
            of_y = other if of_y is None else of_y + other
            if ctx.needs_input_grad[1]:
                of_x = _backward(y, x, for_weight, settings, (True, False))[0]
        return of_y, of_x, of_weight, None, None


def normalise(module: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Return the output of the batch norm for ``x`` in train mode."""
    ones, zeros = x.new_ones(x.shape[1]), x.new_zeros(x.shape[1])
    weight = ones if module.weight is None else module.weight
    bias = zeros if module.bias is None else module.bias
    y: Tensor = _Norm.apply(x, weight.detach(), bias.detach(), module.eps)
    return y


def _norm_gradient(y: Tensor, x: Tensor, weight: Tensor, mean: Tensor, scale: Tensor, eps: float) -> Any:
    """Return the gradients for x, weight and bias, given that of the output."""
    return torch.ops.aten.native_batch_norm_backward(
        y, x, weight, None, None, mean, scale, True, eps, [True, True, True]
    )


class _Norm(Function):
    """y = weight * z + bias with z = scale * (x - mean), scale = 1 / sqrt(variance + eps)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        y, mean, scale = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _NormGradient.apply(grads[0], *ctx.saved_tensors, ctx.eps), None, None, None


class _NormGradient(Function):
    """gx = weight * scale * P(y), with P(u) = u - E[u] - z * E[u * z]."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, x: Tensor, weight: Tensor, mean: Tensor, scale: Tensor, eps: float) -> Any:
        ctx.save_for_backward(y, x, weight, mean, scale)
        ctx.eps = eps
        return _norm_gradient(y, x, weight, mean, scale, eps)[0]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """With v the gradient for gx, that for y is weight * scale * P(v), as P is symmetric.

        For x, with n values of a channel, it follows from

            sum(v * gx) = weight * scale * (sum(v * y) - sum(v) * sum(y) / n - sum(v * z) * sum(y * z) / n),
            d scale / dx = -scale^2 * z / n  and  d sum(u * z) / dx = scale * P(u).
        """
        (y, x, weight, mean, scale), v = ctx.saved_tensors, grads[0]
        ones = torch.ones_like(weight)
        of_v, v_z, v_sum = _norm_gradient(v, x, ones, mean, scale, ctx.eps)  # scale * P(v), sum(v * z), sum(v)
        of_y, y_z, y_sum = _norm_gradient(y, x, ones, mean, scale, ctx.eps)
        n = x.numel() // x.shape[1]
        inner = (v * y).sum((0, 2, 3)) - v_sum * y_sum / n - v_z * y_z / n
        factor = weight * scale / n
        along_z = -factor * scale * inner * scale  # of x - mean
        for_x = x * _per_channel(along_z) - _per_channel(along_z * mean)
        for_x.addcmul_(of_y, _per_channel(-factor * v_z)).addcmul_(of_v, _per_channel(-factor * y_z))
        return of_v * _per_channel(weight), for_x, None, None, None, None


def _per_channel(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)
