"""Convolution padded by half its kernel, without superfluous work on a CPU; the mathematics is the same."""

import torch
from torch import Tensor
from torch.nn import functional

from raynas.nn.fast.depthwise import MAX_COLUMNS, depthwise_conv2d

MIN_SIDE = 8
"""Images from this height and width on are worth the other gradients of depthwise convolutions."""


def same_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, dilation: int, groups: int) -> Tensor:
    """Compute ``F.conv2d(x, weight, bias, stride, dilation * (kernel // 2), dilation, groups)``.

    Args:
        x: ``(batch, channels, height, width)``.
        weight: ``(n_out, channels / groups, kernel, kernel)`` with an odd kernel.
        bias: ``(n_out,)``.
        stride: in both directions.
        dilation: in both directions.
        groups: of channels.
    """
    weight = _within_reach(weight, max(x.shape[2:]), dilation)
    padding = dilation * (weight.shape[2] // 2)
    if bias is None and stride == dilation == 1 and _gains(x, weight, groups):
        return depthwise_conv2d(x, weight, padding=(padding, padding))
    return functional.conv2d(x, weight, bias, stride, padding, dilation, groups)


def _within_reach(weight: Tensor, side: int, dilation: int) -> Tensor:
    """Return kernels without the rim that always meets the padding: images of side 2 use 3 of 7 rows."""
    reach = (side - 1) // dilation
    edge = weight.shape[2] // 2 - reach
    return weight[:, :, edge:-edge, edge:-edge].contiguous() if edge > 0 else weight


def _gains(x: Tensor, weight: Tensor, groups: int) -> bool:
    """Return whether ``depthwise_conv2d`` is faster: its gradient for wide kernels is, on large images."""
    return (
        groups == x.shape[1] == weight.shape[0] > 1
        and weight.shape[2] > MAX_COLUMNS
        and min(x.shape[2:]) >= MIN_SIDE
        and x.device.type == weight.device.type == "cpu"
        and x.dtype == weight.dtype
        and not torch.is_autocast_enabled("cpu")
    )
