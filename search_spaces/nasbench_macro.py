"""The macro space of NAS-Bench-Macro (Su et al., "Prioritized Architecture Sampling", CVPR 2021, arXiv:2103.11922).

Each of eight layers is an identity or one of two MobileNetV2 blocks: 3^8 = 6,561 networks for CIFAR-10, each of them
trained by the authors. Layers, strides and widths are those of the authors' training code, so that parameters are the
benchmark's. No deviations; an identity that has to change the shape is a strided 1x1 convolution there too. Where the
identities stand among the last layers of a stage does not change the network, and the benchmark's table gives such
architectures the same entry; here they stay different architectures, so that the space has its published size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.errors import SpaceError
from raynas.nn.choice import Choice
from raynas.nn.model_space import ModelSpace

STAGES = (2, 3, 3)
"""Layers in each stage; the first one of a stage halves the image and doubles the width."""

N_LAYERS = sum(STAGES)


def identity(n_in: int, n_out: int, stride: int) -> nn.Module:
    """Return an identity, or a 1x1 convolution and batch norm where the shape changes."""
    if n_in == n_out and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))


class InvertedResidual(nn.Module):
    """A MobileNetV2 block: 1x1 convolution that widens, depthwise convolution, linear 1x1 convolution that narrows.

    Args:
        expansion: how many times wider the inside is than the input.
        kernel: side of the depthwise convolution.
        n_in: channels of the input.
        n_out: channels of the output.
        stride: of the depthwise convolution; with stride 1 and equal widths the input is added to the output.
    """

    def __init__(self, expansion: int, kernel: int, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        inside = n_in * expansion
        depthwise = nn.Conv2d(inside, inside, kernel, stride, kernel // 2, groups=inside, bias=False)
        self.body = nn.Sequential(
            *(nn.Conv2d(n_in, inside, 1, bias=False), nn.BatchNorm2d(inside), nn.ReLU()),
            *(depthwise, nn.BatchNorm2d(inside), nn.ReLU()),
            *(nn.Conv2d(inside, n_out, 1, bias=False), nn.BatchNorm2d(n_out)),
        )
        self.has_shortcut = n_in == n_out and stride == 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(batch, n_in, height, width)`` to ``(batch, n_out, height / stride, width / stride)``."""
        out: torch.Tensor = self.body(x)
        return out + x if self.has_shortcut else out


OPERATIONS: Mapping[str, Callable[[int, int, int], nn.Module]] = {
    "identity": identity,
    "mb3_k3": partial(InvertedResidual, 3, 3),
    "mb6_k5": partial(InvertedResidual, 6, 5),
}
"""Candidates of a layer in the order of the benchmark's digits; factories of (n_in, n_out, stride)."""


@dataclass(frozen=True, kw_only=True)
class NASBenchMacro(ModelSpace):
    """The 6,561 networks of NAS-Bench-Macro: eight layers, each one of three blocks.

    Decisions are ``layer_0`` to ``layer_7``: the operation of a layer.

    Args:
        input_shape: channels, height and width of an image.
        n_classes: number of outputs.
        channels: width of the stem; the three stages have two, four and eight times as many.
        head_channels: width of the 1x1 convolution before the classifier.

    Raises:
        SpaceError: if a size is below 1.
    """

    input_shape: tuple[int, ...] = (3, 32, 32)
    n_classes: int = 10
    channels: int = 32
    head_channels: int = 1280

    def __post_init__(self) -> None:
        sizes = (*self.input_shape, self.n_classes, self.channels, self.head_channels)
        if len(self.input_shape) != 3 or min(sizes) < 1:
            raise SpaceError(f"input_shape must be (channels, height, width) and every size at least 1, got {self}")

    def factory(self) -> nn.Module:
        """Return the network with a choice in every layer."""
        width, layers = self.channels, list[nn.Module]()
        for n_layers in STAGES:
            for is_later in range(n_layers):
                shape = (width, width, 1) if is_later else (width, 2 * width, 2)
                layers.append(_layer(f"layer_{len(layers)}", *shape))
                width = shape[1]
        return nn.Sequential(
            *_conv_bn_relu(self.input_shape[0], self.channels, 3),
            *layers,
            *_conv_bn_relu(width, self.head_channels, 1),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(self.head_channels, self.n_classes)),
        )


def _layer(label: str, n_in: int, n_out: int, stride: int) -> Choice:
    return Choice({name: partial(make, n_in, n_out, stride) for name, make in OPERATIONS.items()}, label=label)


def _conv_bn_relu(n_in: int, n_out: int, kernel: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, bias=False)
    return conv, nn.BatchNorm2d(n_out), nn.ReLU()


def from_digits(text: str) -> Architecture:
    """Read the benchmark's notation, e.g. ``"02112010"``: one digit for each layer, 0 being the identity.

    Raises:
        SpaceError: if ``text`` is not eight digits from 0 to 2.
    """
    if len(text) != N_LAYERS or not set(text) <= set("012"):
        raise SpaceError(f"an architecture of NAS-Bench-Macro is {N_LAYERS} digits, each 0, 1 or 2, got {text!r}")
    names = tuple(OPERATIONS)
    return Architecture({f"layer_{i}": names[int(digit)] for i, digit in enumerate(text)})


def to_digits(arch: Mapping[str, Option]) -> str:
    """Write ``arch`` in the benchmark's notation.

    Raises:
        SpaceError: if ``arch`` is not a member of the space.
    """
    names: tuple[Option, ...] = tuple(OPERATIONS)
    layers = [f"layer_{i}" for i in range(N_LAYERS)]
    if set(arch) != set(layers) or not set(arch.values()) <= set(names):
        raise SpaceError(f"{dict(arch)} is not an architecture of NAS-Bench-Macro")
    return "".join(str(names.index(arch[layer])) for layer in layers)
