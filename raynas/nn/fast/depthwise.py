"""Depthwise convolution whose gradients are fast on a CPU as well; the mathematics is that of ``nn.Conv2d``.

oneDNN has fast kernels for every depthwise forward pass, but of the gradients only for some: that for the weight needs
dilation 1 and a kernel at most 3 wide, that for the input dilation 1 (and stride 1 in bfloat16). Others take 5 to 40
times as long as the forward pass. Here all gradients are put into forms that it has fast kernels for:

- the gradient for the input is a forward pass with the kernel mirrored, over the gradient with zeros between (stride);
- equal stride and dilation are a dense convolution of every n-th row and column;
- dilation n alone is a dense convolution of n * n interleaved images;
- the gradient for a wide kernel is computed for at most 3 of its columns at a time.
"""

from collections.abc import Callable
from typing import Any, TypeGuard, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_COLUMNS = 3
"""Width of the kernels whose weight gradient is fast."""

MIN_SIDE = 8
"""Images from this height and width on are worth these gradients."""

Pair = tuple[int, int]
_T = TypeVar("_T")


def suits(conv: nn.Module, x: Tensor) -> bool:
    """Return whether ``depthwise_conv2d`` can replace ``conv(x)``: a depthwise convolution on a CPU."""
    return is_depthwise(conv) and x.device.type == "cpu" and x.dim() == 4


def is_depthwise(conv: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Return whether a module is a depthwise convolution that ``depthwise_conv2d`` can compute."""
    return (
        type(conv) is nn.Conv2d
        and conv.groups == conv.in_channels == conv.out_channels > 1
        and conv.bias is None
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
    )


def pays(x: Tensor, weight: Tensor, stride: Pair, dilation: Pair, groups: int) -> bool:
    """Return whether ``depthwise_conv2d`` suits and is faster: with dilation, or a wide kernel without stride.

    A forward and backward pass take 0.2 to 0.9 of the time there, and up to 3 times as long elsewhere.
    """
    return (
        groups == x.shape[1] == weight.shape[0] > 1
        and (min(dilation) > 1 or (stride == dilation == (1, 1) and weight.shape[3] > MAX_COLUMNS))
        and min(x.shape[2:]) >= MIN_SIDE
        and x.device.type == weight.device.type == "cpu"
        and x.dtype == weight.dtype
        and not torch.is_autocast_enabled("cpu")
    )


def is_dense_after_subsampling(conv: nn.Conv2d) -> bool:
    """Return whether a convolution reads every n-th row and column only, and is a dense convolution of these."""
    step = conv.stride[0]
    return step > 1 and conv.stride == conv.dilation == (step, step) and not any(int(p) % step for p in conv.padding)


def depthwise_conv2d(
    x: Tensor, weight: Tensor, *, stride: Pair = (1, 1), padding: Pair = (0, 0), dilation: Pair = (1, 1)
) -> Tensor:
    """Compute ``F.conv2d(x, weight, None, stride, padding, dilation, groups=channels)``, in channels-last order.

    Args:
        x: ``(batch, channels, height, width)``, on a CPU.
        weight: ``(channels, 1, kernel height, kernel width)``, of the same type; autocast does not apply.
        stride: of the kernel, down and to the right.
        padding: zeros around ``x``: rows above and below, columns left and right.
        dilation: distance of the kernel's elements.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    out: Tensor = _Depthwise.apply(x, weight, stride, padding, dilation)
    return out


class _Depthwise(torch.autograd.Function):
    """Keeps ``x`` only if the weight needs a gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
        ctx.geometry = stride, padding, dilation
        ctx.x_shape = x.shape
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        return without_autocast(lambda: F.conv2d(x, weight, None, stride, padding, dilation, x.shape[1]))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():  # A second derivative is wanted: PyTorch's own gradient has one.
            return *_plain_backward(grad, x, weight, ctx), None, None, None
        grad = grad.contiguous(memory_format=torch.channels_last)
        return (
            input_gradient(grad, weight, ctx.x_shape, *ctx.geometry) if needs_x else None,
            weight_gradient(grad, x, weight.shape, *ctx.geometry) if needs_weight else None,
            None,
            None,
            None,
        )


def _plain_backward(grad: Tensor, x: Tensor | None, weight: Tensor, ctx: Any) -> tuple[Tensor | None, Tensor | None]:
    stride, padding, dilation = ctx.geometry
    if x is None:  # Only its shape matters.
        x = weight.new_zeros(1).expand(ctx.x_shape)
    mask = [*ctx.needs_input_grad[:2], False]
    grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, dilation, False, (0, 0), x.shape[1], mask
    )
    return grad_x, grad_weight


def input_gradient(
    grad: Tensor, weight: Tensor, x_shape: torch.Size, stride: Pair, padding: Pair, dilation: Pair
) -> Tensor:
    """Return the gradient for the input: a forward pass over ``grad`` with the mirrored kernel."""
    back = tuple(d * (k - 1) - p for d, k, p in zip(dilation, weight.shape[2:], padding, strict=True))
    if stride != (1, 1) or min(back) < 0:
        grad = _spread(grad, weight, x_shape, stride, padding, dilation)
        grad = F.pad(grad, (min(back[1], 0),) * 2 + (min(back[0], 0),) * 2)
    padding = max(back[0], 0), max(back[1], 0)
    return F.conv2d(grad, weight.flip(2, 3), None, 1, padding, dilation, weight.shape[0])


def _spread(grad: Tensor, weight: Tensor, x_shape: torch.Size, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
    """Return the gradient of the same convolution without stride: zeros between the computed values."""
    sides = [
        x + 2 * p - d * (k - 1) for x, p, d, k in zip(x_shape[2:], padding, dilation, weight.shape[2:], strict=True)
    ]
    shape = (*grad.shape[:2], *sides)
    wide = torch.empty(shape, dtype=grad.dtype, memory_format=torch.channels_last).zero_()
    wide[:, :, :: stride[0], :: stride[1]] = grad
    return wide


def weight_gradient(
    grad: Tensor, x: Tensor, weight_shape: torch.Size, stride: Pair, padding: Pair, dilation: Pair
) -> Tensor:
    """Return the gradient for the kernel, by dense convolutions at most ``MAX_COLUMNS`` wide if that is possible."""
    kernel = weight_shape[2:]
    step = dilation[0]
    same = all(2 * p == d * (k - 1) and p % d == 0 for p, d, k in zip(padding, dilation, kernel, strict=True))
    if step > 1 and dilation == (step, step) and stride == (1, 1) and same:
        grad, x = _interleaved(grad, step), _interleaved(x, step)
        padding, dilation = (padding[0] // step, padding[1] // step), (1, 1)
    if dilation != (1, 1) or kernel[1] <= MAX_COLUMNS or x.shape[3] < kernel[1]:
        return _aten_weight_gradient(grad, x, weight_shape, stride, padding, dilation)
    parts = []
    for first in range(0, kernel[1], MAX_COLUMNS):
        columns = min(MAX_COLUMNS, kernel[1] - first)
        left = padding[1] - first
        right = (grad.shape[3] - 1) * stride[1] + columns - left - x.shape[3]
        shape = torch.Size((*weight_shape[:3], columns))
        parts.append(_aten_weight_gradient(grad, F.pad(x, (left, right)), shape, stride, (padding[0], 0), dilation))
    return torch.cat(parts, dim=3)


def _interleaved(x: Tensor, step: int) -> Tensor:
    """Return the step * step images that consist of every ``step``-th row and column, as one batch."""
    if x.shape[2] % step or x.shape[3] % step:
        x = F.pad(x, (0, -x.shape[3] % step, 0, -x.shape[2] % step))
    n, channels, height, width = x.shape
    split = x.permute(0, 2, 3, 1).reshape(n, height // step, step, width // step, step, channels)
    parts = split.permute(2, 4, 0, 1, 3, 5).reshape(step * step * n, height // step, width // step, channels)
    return parts.permute(0, 3, 1, 2)


def _aten_weight_gradient(
    grad: Tensor, x: Tensor, weight_shape: torch.Size, stride: Pair, padding: Pair, dilation: Pair
) -> Tensor:
    weight = grad.new_empty(1).expand(weight_shape)  # Only its shape matters.
    mask = [False, True, False]
    out: Tensor = torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, dilation, False, (0, 0), x.shape[1], mask
    )[1]
    return out


def without_autocast(run: Callable[[], _T]) -> _T:
    """Call ``run`` with autocast disabled on the CPU, so that operands keep their types."""
    if not torch.is_autocast_enabled("cpu"):
        return run()
    with torch.autocast("cpu", enabled=False):
        return run()
