"""Operations that cell spaces share, each ReLU, convolution, batch norm in this order (Zoph et al., arXiv:1707.07012).

An operation that begins with a ReLU is a ``nn.Sequential`` whose first module is that ReLU. Half of an odd side of an
image is rounded up by all of them.
"""

import torch
from torch import nn


def relu_conv_bn(n_in: int, n_out: int, kernel: int, stride: int = 1, *, affine: bool = True) -> nn.Sequential:
    """Return ReLU, convolution, batch norm.

    Args:
        n_in: number of input channels.
        n_out: number of output channels.
        kernel: side of the kernel, odd.
        stride: 1, or 2 to halve the image.
        affine: True for a batch norm with weights.
    """
    conv = nn.Conv2d(n_in, n_out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(n_out, affine=affine))


def dilated_separable(
    channels: int, kernel: int, stride: int = 1, *, dilation: int = 2, affine: bool = True
) -> nn.Sequential:
    """Return ReLU, a depthwise convolution with dilation, a pointwise one, and batch norm."""
    padding = dilation * (kernel // 2)
    depthwise = nn.Conv2d(channels, channels, kernel, stride, padding, dilation=dilation, groups=channels, bias=False)
    pointwise = nn.Conv2d(channels, channels, 1, bias=False)
    return nn.Sequential(nn.ReLU(), depthwise, pointwise, nn.BatchNorm2d(channels, affine=affine))


def separable_twice(channels: int, kernel: int, stride: int = 1, *, affine: bool = True) -> nn.Sequential:
    """Return two separable convolutions in sequence, as in the cell spaces; the first one has the stride."""
    first = dilated_separable(channels, kernel, stride, dilation=1, affine=affine)
    return nn.Sequential(*first, *dilated_separable(channels, kernel, dilation=1, affine=affine))


class HalvingConv(nn.Module):
    """Halves height and width without skipping pixels: two 1x1 convolutions of stride 2, one pixel apart.

    Each computes half of the output channels.

    Args:
        n_in: number of input channels.
        n_out: number of output channels, at least 2.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(n_in, n_out // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(n_in, n_out - n_out // 2, 1, stride=2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(batch, n_in, height, width)`` to ``(batch, n_out, height / 2, width / 2)``, rounded up."""
        moved = nn.functional.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        return torch.cat([self.even(x), self.odd(moved)], dim=1)


def factorized_reduce(n_in: int, n_out: int, *, affine: bool = True) -> nn.Sequential:
    """Return ReLU, a convolution that halves the image, batch norm."""
    return nn.Sequential(nn.ReLU(), HalvingConv(n_in, n_out), nn.BatchNorm2d(n_out, affine=affine))


def average_pool(kernel: int, stride: int = 1) -> nn.Module:
    """Return the mean of the pixels under the kernel, without those outside the image."""
    return nn.AvgPool2d(kernel, stride, padding=kernel // 2, count_include_pad=False)


def max_pool(kernel: int, stride: int = 1) -> nn.Module:
    """Return the maximum of the pixels under the kernel."""
    return nn.MaxPool2d(kernel, stride, padding=kernel // 2)
