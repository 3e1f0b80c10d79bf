"""Convolution padded by half its kernel, without superfluous work on a CPU; the mathematics is the same."""

from torch import Tensor
from torch.nn import functional

from raynas.nn.fast.depthwise import depthwise_conv2d, pays


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
    strides, dilations = (stride, stride), (dilation, dilation)
    if bias is None and pays(x, weight, strides, dilations, groups):
        return depthwise_conv2d(x, weight, stride=strides, padding=(padding, padding), dilation=dilations)
    return functional.conv2d(x, weight, bias, stride, padding, dilation, groups)


def _within_reach(weight: Tensor, side: int, dilation: int) -> Tensor:
    """Return kernels without the rim that always meets the padding: images of side 2 use 3 of 7 rows."""
    reach = (side - 1) // dilation
    edge = weight.shape[2] // 2 - reach
    return weight[:, :, edge:-edge, edge:-edge].contiguous() if edge > 0 else weight
