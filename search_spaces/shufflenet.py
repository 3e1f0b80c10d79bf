"""The ShuffleNet space of SPOS (Guo et al., "Single Path One-Shot NAS", ECCV 2020, arXiv:1904.00420).

Each of twenty layers is a ShuffleNetV2 block with a kernel of 3, 5 or 7, or an Xception-like block of three depthwise
convolutions: 4^20, about 1.1e12 networks for ImageNet. Widths are those of the network that the authors published.

Deviations: the authors' second search, over the widths inside blocks, is no part of the space, but ``inside`` takes its
result; by default they are half of the output's. Weights start as PyTorch's do. The head takes images of any size.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import nn

from raynas.errors import SpaceError
from raynas.nn.choice import Choice
from raynas.nn.model_space import ModelSpace

STAGES = (4, 4, 8, 4)
"""Layers in each stage; the first one of a stage halves the image and changes the width."""

N_LAYERS = sum(STAGES)


def _pointwise(n_in: int, n_out: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()


def _depthwise(channels: int, kernel: int, stride: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)
    return conv, nn.BatchNorm2d(channels)


def _shuffle_body(kernel: int, n_in: int, inside: int, n_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(*_pointwise(n_in, inside), *_depthwise(inside, kernel, stride), *_pointwise(inside, n_out))


def _xception_body(n_in: int, inside: int, n_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        *(*_depthwise(n_in, 3, stride), *_pointwise(n_in, inside)),
        *(*_depthwise(inside, 3, 1), *_pointwise(inside, inside)),
        *(*_depthwise(inside, 3, 1), *_pointwise(inside, n_out)),
    )


class ShuffleBlock(nn.Module):
    """A block that keeps half of its channels: every second one passes, the others go through ``body``.

    Args:
        body: maps half of the channels to as many.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(batch, channels, height, width)`` to the same shape; the number of channels is even."""
        return torch.cat((x[:, 0::2], self.body(x[:, 1::2])), dim=1)


class ShuffleReduction(nn.Module):
    """A block that halves the image: all channels go through a depthwise convolution, and through ``body`` too.

    Args:
        body: maps all channels to as many as are to be added, with stride 2.
        n_in: channels of the input.
        kernel: side of the depthwise convolution.
    """

    def __init__(self, body: nn.Module, n_in: int, kernel: int) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(*_depthwise(n_in, kernel, 2), *_pointwise(n_in, n_in))
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(batch, n_in, height, width)`` to ``(batch, n_out, height / 2, width / 2)``."""
        return torch.cat((self.shortcut(x), self.body(x)), dim=1)


def _block(body: Callable[..., nn.Module], kernel: int, n_in: int, inside: int, n_out: int) -> nn.Module:
    if n_in == n_out:
        return ShuffleBlock(body(n_in // 2, inside, n_out // 2, 1))
    return ShuffleReduction(body(n_in, inside, n_out - n_in, 2), n_in, kernel)


OPERATIONS: Mapping[str, Callable[[int, int, int], nn.Module]] = {
    "shuffle_3x3": partial(_block, partial(_shuffle_body, 3), 3),
    "shuffle_5x5": partial(_block, partial(_shuffle_body, 5), 5),
    "shuffle_7x7": partial(_block, partial(_shuffle_body, 7), 7),
    "xception": partial(_block, _xception_body, 3),
}
"""Candidates of a layer in the order of the authors' numbers 0 to 3; factories of (n_in, n_hidden, n_out)."""


@dataclass(frozen=True, kw_only=True)
class ShuffleNet(ModelSpace):
    """The 4^20 networks of SPOS: twenty layers, each one of four ShuffleNet blocks.

    Decisions are ``layer_0`` to ``layer_19``: the operation of a layer.

    Args:
        input_shape: channels, height and width of an image.
        n_classes: number of outputs.
        stem_channels: width of the first convolution.
        channels: width of each of the four stages, even and growing.
        head_channels: width of the 1x1 convolution before the classifier.
        inside: for each of the twenty layers how wide its inside is, relative to half of its output.
        dropout: probability before the classifier, in [0, 1).

    Raises:
        SpaceError: if a size is below 1, widths are odd or do not grow, or there are not twenty positive ``inside``.
    """

    input_shape: tuple[int, ...] = (3, 224, 224)
    n_classes: int = 1000
    stem_channels: int = 16
    channels: tuple[int, int, int, int] = (64, 160, 320, 640)
    head_channels: int = 1024
    inside: tuple[float, ...] = (1.0,) * N_LAYERS
    dropout: float = 0.1

    def __post_init__(self) -> None:
        widths = (self.stem_channels, *self.channels)
        if len(self.input_shape) != 3 or min(*self.input_shape, self.n_classes, self.head_channels, *widths) < 1:
            raise SpaceError(f"input_shape must be (channels, height, width) and every size at least 1, got {self}")
        grows = all(later > earlier for earlier, later in pairwise(widths))
        if len(self.channels) != len(STAGES) or any(width % 2 for width in self.channels) or not grows:
            raise SpaceError(f"channels must be four even widths that grow from stem_channels on, got {widths}")
        if len(self.inside) != N_LAYERS or min(self.inside) <= 0:
            raise SpaceError(f"inside must be {N_LAYERS} numbers above 0, got {self.inside}")
        if not 0 <= self.dropout < 1:
            raise SpaceError(f"dropout must be in [0, 1), got {self.dropout}")

    def factory(self) -> nn.Module:
        """Return the network with a choice in every layer."""
        stem = nn.Conv2d(self.input_shape[0], self.stem_channels, 3, stride=2, padding=1, bias=False)
        head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(self.dropout))
        return nn.Sequential(
            *(stem, nn.BatchNorm2d(self.stem_channels), nn.ReLU()),
            *self._layers(),
            *_pointwise(self.channels[-1], self.head_channels),
            *(*head, nn.Linear(self.head_channels, self.n_classes, bias=False)),
        )

    def _layers(self) -> Sequence[Choice]:
        n_out = [width for width, n_layers in zip(self.channels, STAGES, strict=True) for _ in range(n_layers)]
        n_in = [self.stem_channels, *n_out[:-1]]
        return [_layer(i, n_in[i], max(1, int(n_out[i] // 2 * self.inside[i])), n_out[i]) for i in range(N_LAYERS)]


def _layer(index: int, n_in: int, inside: int, n_out: int) -> Choice:
    candidates = {name: partial(make, n_in, inside, n_out) for name, make in OPERATIONS.items()}
    return Choice(candidates, label=f"layer_{index}")
