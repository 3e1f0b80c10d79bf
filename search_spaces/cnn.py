"""A chain of convolutional layers, each with its own operation and settings.

After Baker et al., "Designing Neural Network Architectures using Reinforcement Learning" (ICLR 2017,
arXiv:1611.02167), with the blocks of later networks: depthwise separable (MobileNet), inverted bottleneck
(MobileNetV2), residual (ResNet).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from raynas.core.architecture import Option
from raynas.core.decision import Categorical, Condition, Decision, Integer
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError

ModuleFactory = Callable[[], nn.Module]

ACTIVATIONS: Mapping[str, ModuleFactory] = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}
"""Activations after a convolution."""

EXPANSION = 4
"""Ratio of the hidden width of an inverted bottleneck to its input width."""


class Residual(nn.Module):
    """Adds a shortcut to a body.

    Args:
        body: maps the input to an output.
        shortcut: maps it to the same shape, cheaply.
    """

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the output of the shortcut to that of the body."""
        out: torch.Tensor = self.body(x) + self.shortcut(x)
        return out


def conv_bn(n_in: int, n_out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Return a convolution with padding of half its kernel, and its batch norm."""
    conv = nn.Conv2d(n_in, n_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(n_out)]


def conv(n_in: int, n_out: int, kernel: int, stride: int, activation: ModuleFactory) -> nn.Module:
    """Convolution, batch norm, activation."""
    return nn.Sequential(*conv_bn(n_in, n_out, kernel, stride), activation())


def separable(n_in: int, n_out: int, kernel: int, stride: int, activation: ModuleFactory) -> nn.Module:
    """Return a depthwise convolution and a pointwise one (Howard et al. 2017, MobileNet)."""
    depthwise = conv_bn(n_in, n_in, kernel, stride, groups=n_in)
    return nn.Sequential(*depthwise, activation(), *conv_bn(n_in, n_out, 1), activation())


def mbconv(n_in: int, n_out: int, kernel: int, stride: int, activation: ModuleFactory) -> nn.Module:
    """Inverted bottleneck (Sandler et al. 2018, MobileNetV2); a shortcut around it where the shape stays the same."""
    wide = EXPANSION * n_in
    expand = [*conv_bn(n_in, wide, 1), activation()]
    depthwise = [*conv_bn(wide, wide, kernel, stride, groups=wide), activation()]
    body = nn.Sequential(*expand, *depthwise, *conv_bn(wide, n_out, 1))
    return Residual(body, nn.Identity()) if stride == 1 and n_in == n_out else body


def residual(n_in: int, n_out: int, kernel: int, stride: int, activation: ModuleFactory) -> nn.Module:
    """Return a basic block (He et al. 2016, ResNet), with a 1x1 convolution as shortcut where the shape changes."""
    body = nn.Sequential(*conv_bn(n_in, n_out, kernel, stride), activation(), *conv_bn(n_out, n_out, kernel))
    same = stride == 1 and n_in == n_out
    shortcut = nn.Identity() if same else nn.Sequential(*conv_bn(n_in, n_out, 1, stride))
    return nn.Sequential(Residual(body, shortcut), activation())


CONVOLUTIONS: Mapping[str, Callable[[int, int, int, int, ModuleFactory], nn.Module]] = {
    "conv": conv,
    "separable": separable,
    "mbconv": mbconv,
    "residual": residual,
}
"""The operations with filters, kernel and activation, each made from (n_in, n_out, kernel, stride, activation)."""

POOLINGS: Mapping[str, Callable[..., nn.Module]] = {
    "max_pool": partial(nn.MaxPool2d, 3, padding=1),
    "avg_pool": partial(nn.AvgPool2d, 3, padding=1, count_include_pad=False),
}
"""The operations without weights, each made from its stride."""


@dataclass(frozen=True, kw_only=True)
class CNN(SearchSpace):
    """A stem, up to ``max_layers`` layers, global average pooling and a linear classifier.

    Decisions are ``n_layers`` and, for each layer that exists, ``layers.0.op``, ``layers.0.dropout`` and, where the
    operation has them, ``layers.0.filters``, ``layers.0.kernel`` and ``layers.0.activation``.

    Only ``n_strides`` of the layers, spread evenly, also decide on a stride (``layers.1.stride``, 1 or 2), and only as
    many are allowed as the image can be halved. So every stride that is chosen takes effect, whatever the others are,
    and no two architectures are the same network because a stride was ignored.

    Args:
        input_shape: channels, height and width of an image.
        n_classes: number of outputs.
        channels: width of the stem.
        min_layers: the fewest layers after the stem.
        max_layers: the most.
        n_strides: how many layers may halve the image.
        filters: the widths a layer can have.
        kernels: the kernel sizes it can have; odd, so that the image keeps its size.
        dropouts: the shares of values dropped after a layer in training.

    Raises:
        SpaceError: if a size is below 1, a kernel is even, a dropout is outside [0, 1), or there are more strides than
            layers or than halvings of the image.
    """

    input_shape: tuple[int, ...] = (3, 32, 32)
    n_classes: int = 10
    channels: int = 16
    min_layers: int = 1
    max_layers: int = 6
    n_strides: int = 3
    filters: tuple[int, ...] = (16, 32, 64, 128)
    kernels: tuple[int, ...] = (3, 5)
    dropouts: tuple[float, ...] = (0.0, 0.1, 0.3)

    def __post_init__(self) -> None:
        sizes = (*self.input_shape, self.n_classes, self.channels, self.min_layers, *self.filters, *self.kernels)
        if len(self.input_shape) != 3 or min(sizes) < 1 or self.min_layers > self.max_layers:
            raise SpaceError(f"CNN needs a (channels, height, width), sizes >= 1 and min <= max layers, got {self}")
        if any(kernel % 2 == 0 for kernel in self.kernels) or any(not 0 <= p < 1 for p in self.dropouts):
            raise SpaceError(f"CNN needs odd kernels and dropouts in [0, 1), got {self.kernels} and {self.dropouts}")
        _, height, width = self.input_shape
        halvings = min(height, width).bit_length() - 1
        if not 0 <= self.n_strides <= min(halvings, self.max_layers):
            raise SpaceError(
                f"n_strides must be from 0 to {min(halvings, self.max_layers)}: there are {self.max_layers} layers and "
                f"images of {height}x{width} can be halved {halvings} times; got {self.n_strides}"
            )

    @property
    def decisions(self) -> Sequence[Decision]:
        """The number of layers, then the decisions of each layer."""
        depth = Integer("n_layers", self.min_layers, self.max_layers)
        return [depth, *(decision for i in range(self.max_layers) for decision in self._layer_decisions(i))]

    def _layer_decisions(self, i: int) -> Iterator[Decision]:
        exists: Condition = {} if i < self.min_layers else {"n_layers": range(i + 1, self.max_layers + 1)}
        convolves: Condition = {f"layers.{i}.op": tuple(CONVOLUTIONS)}
        yield Categorical(f"layers.{i}.op", (*CONVOLUTIONS, *POOLINGS), active_if=exists)
        yield Categorical(f"layers.{i}.filters", self.filters, active_if=convolves)
        yield Categorical(f"layers.{i}.kernel", self.kernels, active_if=convolves)
        yield Categorical(f"layers.{i}.activation", tuple(ACTIVATIONS), active_if=convolves)
        yield Categorical(f"layers.{i}.dropout", self.dropouts, active_if=exists)
        if self._may_stride(i):
            yield Categorical(f"layers.{i}.stride", (1, 2), active_if=exists)

    def _may_stride(self, i: int) -> bool:
        """Return True if a multiple of max_layers / n_strides falls on layer i, which spreads strides evenly."""
        return (i + 1) * self.n_strides // self.max_layers > i * self.n_strides // self.max_layers

    def build(self, arch: Mapping[str, Option]) -> nn.Module:
        """Make the network that ``arch`` means.

        Raises:
            SpaceError: if ``arch`` is not a member.
        """
        options = self.canonical(arch)
        width = self.channels
        layers: list[nn.Module] = [*conv_bn(self.input_shape[0], width, 3), nn.ReLU()]
        for i in range(int(options["n_layers"])):
            settings: dict[str, Any] = {
                name: options[f"layers.{i}.{name}"] for name in _SETTINGS if f"layers.{i}.{name}" in options
            }
            layers += _layer(width, **settings)
            width = settings.get("filters", width)
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, self.n_classes))


_SETTINGS = ("op", "filters", "kernel", "activation", "dropout", "stride")


def _layer(
    n_in: int, op: str, dropout: float, stride: int = 1, filters: int = 0, kernel: int = 0, activation: str = ""
) -> Iterator[nn.Module]:
    if op in POOLINGS:
        yield POOLINGS[op](stride=stride)
    else:
        yield CONVOLUTIONS[op](n_in, filters, kernel, stride, ACTIVATIONS[activation])
    if dropout:
        yield nn.Dropout(dropout)
