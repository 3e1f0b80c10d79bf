"""Pooling and subsampling of channels-last images, in forms that are fast on a CPU and keep little."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raynas.nn.fast.depthwise import depthwise_conv2d, without_autocast


def subsampled(x: Tensor, step: int, offset: int) -> Tensor:
    """Return every ``step``-th row and column, beginning with number ``offset``."""
    return cast(Tensor, _Subsample.apply(x, step, offset))


class _Subsample(torch.autograd.Function):
    """Indexing whose gradient is in channels-last order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: int, offset: int) -> Tensor:
        ctx.x_shape, ctx.pixels = x.shape, slice(offset, None, step)
        return x[:, :, ctx.pixels, ctx.pixels].contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        out = torch.empty(ctx.x_shape, dtype=grad.dtype, memory_format=torch.channels_last).zero_()
        out[:, :, ctx.pixels, ctx.pixels] = grad
        return out, None, None


def average_pool(x: Tensor, pool: nn.AvgPool2d) -> Tensor:
    """Compute ``pool(x)`` by a depthwise convolution with ones, which is much faster."""
    if pool.ceil_mode or pool.divisor_override is not None or x.shape[1] < 2:
        return without_autocast(lambda: cast(Tensor, pool(x)))
    (height, width), stride, padding = (as_pair(size) for size in (pool.kernel_size, pool.stride, pool.padding))
    ones = x.new_full((x.shape[1], 1, height, width), 1.0 if padding != (0, 0) else 1 / (height * width))
    total = depthwise_conv2d(x, ones, stride=stride, padding=padding)
    if padding == (0, 0):
        return total
    sides = (x.shape[2], x.shape[3])
    return total * _counts(sides, (height, width), stride, padding, pool.count_include_pad).to(x.dtype)


@lru_cache(maxsize=64)
def _counts(
    sides: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], padded: bool
) -> Tensor:
    """Return one over the number of values in each average, shape ``(1, 1, height, width)``."""
    # Cached for later calls: it must be no inference tensor, and not on the caller's default device.
    with torch.inference_mode(False):
        ones = torch.ones(1, 1, *sides, dtype=torch.float64, device="cpu")
        ones = F.pad(ones, (padding[1],) * 2 + (padding[0],) * 2, value=padded)
        return 1 / F.conv2d(ones, ones.new_ones(1, 1, *kernel), stride=stride)


def as_pair(size: int | Sequence[int]) -> tuple[int, int]:
    """Return a size, which PyTorch takes as one or two numbers, for height and width."""
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def max_pool(x: Tensor, geometry: tuple[Any, ...]) -> Tensor:
    """Compute max pooling; the geometry is kernel size, stride, padding, dilation and ceil mode."""
    return cast(Tensor, _MaxPool.apply(x, geometry))


class _MaxPool(torch.autograd.Function):
    """Max pooling that saves the positions of the maxima in 2 bytes instead of 8."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, geometry: tuple[Any, ...]) -> Tensor:
        out, indices = F.max_pool2d_with_indices(x, *geometry)
        ctx.geometry = geometry
        small = torch.int16 if x.shape[2] * x.shape[3] <= 2**15 else torch.int32
        ctx.save_for_backward(x, indices.to(small))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, indices = ctx.saved_tensors
        kernel, stride, padding, dilation, ceil_mode = ctx.geometry
        sizes = [list(as_pair(size)) for size in (kernel, stride, padding, dilation)]
        out: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            grad, x, *sizes, ceil_mode, indices.to(torch.int64)
        )
        return out, None
