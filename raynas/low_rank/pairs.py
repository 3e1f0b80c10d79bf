"""Pairs of layers of a low rank: what a linear layer or a convolution becomes, or gets beside it."""

from collections.abc import Sequence
from math import prod
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd

CONVOLUTIONS: dict[type[nn.Module], int] = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}
"""Convolutions, and the number of dimensions that their kernels have."""

Layer = nn.Linear | _ConvNd
"""A layer with a pair."""


def reason_against(layer: nn.Module) -> str:
    """Return the reason why a layer has no pair; "" if it has one."""
    if type(layer) is not nn.Linear and type(layer) not in CONVOLUTIONS:
        return "it is no linear layer and no convolution"
    if isinstance(layer, _ConvNd) and layer.groups > 1:
        return "its channels are in groups"
    if type(layer._parameters.get("weight")) is not nn.Parameter:
        return "its weight is computed"
    return ""


def sizes_of(layer: Layer) -> tuple[int, int]:
    """Return the numbers of rows and columns of a layer's weight as a matrix."""
    weight = layer.weight
    return weight.shape[0], prod(weight.shape[1:])


def full_rank(layer: Layer) -> int:
    """Return the rank that a layer's matrix can have at most."""
    return min(sizes_of(layer))


def new_pair(layer: Layer, rank: int, *, bias: bool) -> tuple[nn.Module, nn.Module]:
    """Return two new layers: one from the inputs of a layer to ``rank`` features, one from there to its outputs.

    Args:
        layer: the layer.
        rank: number of features between.
        bias: True for a bias of the second.
    """
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, rank, bias=False), nn.Linear(rank, layer.out_features, bias=bias)
    kind: Any = type(layer)
    first = kind(
        layer.in_channels,
        rank,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        bias=False,
        padding_mode=layer.padding_mode,
    )
    return first, kind(rank, layer.out_channels, 1, bias=bias)


def like(layer: Layer) -> nn.Module:
    """Return a new layer of the sizes of a layer."""
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, layer.out_features, bias)
    kind: Any = type(layer)
    made: nn.Module = kind(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        bias,
        layer.padding_mode,
    )
    return made


def shaped(layer: Layer, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return matrices ``(rank, inputs)`` and ``(outputs, rank)`` as the weights of a pair of a layer."""
    if isinstance(layer, nn.Linear):
        return first, second
    ones = [1] * len(layer.kernel_size)
    return first.reshape(len(first), layer.in_channels, *layer.kernel_size), second.reshape(*second.shape, *ones)


def columns(layer: Layer, x: Tensor) -> Tensor:
    """Return the inputs that a layer multiplies with its matrix, one in a row: ``(n, inputs)``.

    Args:
        layer: the layer.
        x: its input.
    """
    if isinstance(layer, nn.Linear):
        return x.reshape(-1, layer.in_features)
    n = CONVOLUTIONS[type(layer)]
    x = x if x.ndim == n + 2 else x[None]
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    x = functional.pad(x, cast(Sequence[int], layer._reversed_padding_repeated_twice), mode)
    for i in range(n):
        width = (layer.kernel_size[i] - 1) * layer.dilation[i] + 1
        x = x.unfold(2 + i, width, layer.stride[i])[..., :: layer.dilation[i]]
    # (batch, channels, positions..., kernel...)
    order = [0, *range(2, 2 + n), 1, *range(2 + n, 2 + 2 * n)]
    return x.permute(order).reshape(-1, sizes_of(layer)[1])


def apply_pair(layer: Layer, x: Tensor, first: Tensor, second: Tensor, bias: Tensor | None) -> Tensor:
    """Return the output of a pair of a layer with given weights."""
    if isinstance(layer, nn.Linear):
        return functional.linear(functional.linear(x, first), second, bias)
    hidden = layer._conv_forward(x, first, None)
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[len(layer.kernel_size) - 1]
    found: Tensor = convolve(hidden, second, bias)
    return found


def product(layer: Layer, first: Tensor, second: Tensor) -> Tensor:
    """Return the weight of a layer that computes what a pair of it does."""
    found: Tensor = second.flatten(1) @ first.flatten(1)
    return found.reshape(layer.weight.shape)


def fresh_adapter(first: nn.Module, second: nn.Module) -> None:
    """Set the weights of a pair so that it adds nothing yet, as LoRA does: the second ones are 0."""
    nn.init.kaiming_uniform_(cast(Tensor, first.weight), a=5**0.5)
    with torch.no_grad():
        cast(Tensor, second.weight).zero_()
