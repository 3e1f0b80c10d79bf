"""The once-for-all space around MobileNetV3 (Cai et al., "Once-for-All", ICLR 2020, arXiv:1908.09791).

Five stages of inverted residual blocks with elastic depth, kernel and expansion ratio; their widths, strides,
activations and squeeze-excites are those of MobileNetV3-Large (Howard et al., ICCV 2019, arXiv:1905.02244). That
network is a member: its expansions are the ratios 3, 4 and 6 of the once-for-all space, except for 200 and twice 184
of 80 channels in the third stage. There, blocks after the first offer 2.3 and 2.5 as well; ``extra_expansions=()``
leaves the published space. Deviations: weights start as PyTorch's do, and the two published widths are one space.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.errors import SpaceError
from raynas.nn.choice import Choice
from raynas.nn.elastic import Size, make_divisible, ratio
from raynas.nn.elastic_layers import (
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticLinear,
    ElasticResize,
    ElasticSqueezeExcite,
)
from raynas.nn.model_space import ModelSpace
from raynas.nn.repeat import Repeat

N_STAGES = 5
STRIDES = (2, 2, 2, 1, 2)
"""Of the first block of each stage."""

SQUEEZE_EXCITE = (False, True, False, True, True)
"""The stages whose blocks have it in MobileNetV3-Large."""

ACTIVATIONS = ("relu", "relu", "h_swish", "h_swish", "h_swish")
"""Of the stages in MobileNetV3-Large."""

KINDS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "h_swish": nn.Hardswish}

FINE_STAGE = 2
"""The stage in which MobileNetV3-Large has expansions that are not those of the once-for-all space."""

LARGE_KERNELS = ((3, 3), (5, 5, 5), (3, 3, 3, 3), (3, 3), (5, 5, 5))
LARGE_EXPANSIONS = ((4, 3), (3, 3, 3), (6, 2.5, 2.3, 2.3), (6, 6), (6, 6, 6))
"""MobileNetV3-Large block by block, as ratios of the block's input; its depths are their lengths."""


class InvertedResidual(nn.Module):
    """Inverted bottleneck; the input is added to the output if ``residual``.

    Args:
        body: maps the image to one of the same shape if ``residual``.
        residual: whether the input is added.
    """

    def __init__(self, body: nn.Module, residual: bool) -> None:
        super().__init__()
        self.body = body
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(batch, channels, height, width)`` to the output's channels, height and width."""
        out: torch.Tensor = self.body(x)
        return x + out if self.residual else out


@dataclass(frozen=True, kw_only=True)
class MobileNetV3(ModelSpace):
    """Depth, width, kernels and resolution around MobileNetV3-Large (the Once-for-All space).

    Decisions, with stages and blocks counted from 0:

    - ``resolution``: side in pixels to which images are resized, square;
    - ``width``: what all widths are multiplied by;
    - ``stage_0.depth``: blocks in a stage;
    - ``stage_0.1.kernel`` and ``stage_0.1.expansion``: of a block, the latter relative to the block's input;
    - ``stage_0.squeeze_excite`` ("yes", "no") and ``stage_0.activation`` ("relu", "h_swish"), where they are searched.

    With one resolution and width, and without ``extra_expansions``, there are (9^2 + 9^3 + 9^4)^5, about 2e19 networks;
    by default 9.6e19 times the 4 resolutions and 2 widths: about 7.7e20.

    Args:
        input_shape: channels, height and width of an image.
        n_classes: number of outputs.
        resolutions: options of ``resolution``; None for 4/7, 5/7, 6/7 and all of the image's shorter side, which are
            128, 160, 192 and 224 for 224.
        widths: options of ``width``.
        depths: fewest and most blocks of a stage, at least 1.
        kernels: options of ``kernel``.
        expansions: options of ``expansion``.
        extra_expansions: more of them, for blocks 1, 2, … of the third stage.
        search_squeeze_excite: whether each stage decides about it; otherwise it is as published.
        search_activation: whether each stage decides about it; otherwise it is as published.
        channels: width of the stem and of the five stages.
        head_channels: width of the last convolution and of the hidden linear layer.
        divisor: all widths are multiples of it.
        dropout: probability before the classifier, in [0, 1).

    Raises:
        SpaceError: if a size is below 1, an option is impossible, or there are not six ``channels``.
    """

    input_shape: tuple[int, ...] = (3, 224, 224)
    n_classes: int = 1000
    resolutions: tuple[int, ...] | None = None
    widths: tuple[float, ...] = (1.0, 1.2)
    depths: tuple[int, int] = (2, 4)
    kernels: tuple[int, ...] = (3, 5, 7)
    expansions: tuple[float, ...] = (3, 4, 6)
    extra_expansions: tuple[float, ...] = (2.3, 2.5)
    search_squeeze_excite: bool = False
    search_activation: bool = False
    channels: tuple[int, ...] = (16, 24, 40, 80, 112, 160)
    head_channels: tuple[int, int] = (960, 1280)
    divisor: int = 8
    dropout: float = 0.2

    def __post_init__(self) -> None:
        sizes = (*self.input_shape, self.n_classes, *self.channels, *self.head_channels, self.divisor, self.depths[0])
        if len(self.input_shape) != 3 or min(sizes) < 1:
            raise SpaceError(f"input_shape must be (channels, height, width) and every size at least 1, got {self}")
        if len(self.channels) != N_STAGES + 1:
            raise SpaceError(f"channels must be those of the stem and of {N_STAGES} stages, got {self.channels}")
        if not 0 <= self.dropout < 1:
            raise SpaceError(f"dropout must be in [0, 1), got {self.dropout}")
        if any(k < 1 or k % 2 == 0 for k in self.kernels):
            raise SpaceError(f"kernels must be odd, got {self.kernels}")
        Size(self.sides), Size(self.kernels)  # They refuse what is impossible.
        Size(self.widths), Size(self.expansions), Size((*self.expansions, *self.extra_expansions))
        Repeat(lambda i: nn.Identity(), *self.depths)

    @cached_property
    def sides(self) -> tuple[int, ...]:
        """The options of ``resolution``, in pixels."""
        if self.resolutions is not None:
            return self.resolutions
        side = min(self.input_shape[1:])
        return tuple(sorted({max(1, round(side * sevenths / 7)) for sevenths in (4, 5, 6, 7)}))

    def factory(self) -> nn.Module:
        """Return the network with elastic sizes."""
        stages = {f"stage_{i}": self._stage(i) for i in range(N_STAGES)}
        resize = ElasticResize(self.input_shape[0], Size(self.sides, "resolution"))
        stem = self._conv(self.input_shape[0], self._width(self.channels[0]), 3, stride=2, activation=nn.Hardswish)
        first = InvertedResidual(nn.Sequential(*self._first_block()), residual=True)
        parts = {"resize": resize, "stem": nn.Sequential(*stem), "first": first, **stages, "head": self._head()}
        return nn.Sequential(OrderedDict(parts))

    def _width(self, channels: int) -> Size:
        return Size(self.widths, "width", partial(_multiplied, channels, self.divisor))

    def _most(self, channels: int) -> int:
        return _multiplied(channels, self.divisor, max(self.widths), 0)

    def _conv(
        self,
        n_in: int,
        n_out: Size | None,
        kernel: int | Size = 1,
        *,
        stride: int = 1,
        activation: Callable[[], nn.Module] | None = None,
    ) -> Sequence[nn.Module]:
        """Return a convolution (depthwise if ``n_out`` is None), its batch norm and its activation."""
        conv = ElasticConv2d(n_in, n_out, kernel, stride=stride, group_width=1 if n_out is None else None)
        norm = ElasticBatchNorm2d(conv.most_out, eps=0.001, momentum=0.01)
        return (conv, norm) if activation is None else (conv, norm, activation())

    def _first_block(self) -> Sequence[nn.Module]:
        """Return the block before the stages, which has no expansion."""
        depthwise = self._conv(self._most(self.channels[0]), None, 3, activation=nn.ReLU)
        return (*depthwise, *self._conv(self._most(self.channels[0]), self._width(self.channels[0])))

    def _stage(self, stage: int) -> Repeat:
        return Repeat(partial(_block, self, stage), *self.depths, label=f"stage_{stage}.depth")

    def block(self, stage: int, index: int) -> nn.Module:
        """Block ``index`` of a stage, both counted from 0, with its sizes open."""
        first, name = index == 0, f"stage_{stage}.{index}"
        n_in = self._most(self.channels[stage if first else stage + 1])
        expansion = ratio(self.expansion_options(stage, index), f"{name}.expansion", self.divisor)
        kernel = Size(self.kernels, f"{name}.kernel")
        activation, stride = partial(self._activation, stage), STRIDES[stage] if first else 1
        inside = max(expansion.value(option, n_in) for option in expansion.options)
        body = nn.Sequential(
            *self._conv(n_in, expansion, activation=activation),
            *self._conv(inside, None, kernel, stride=stride, activation=activation),
            *self._attention(stage, inside),
            *self._conv(inside, self._width(self.channels[stage + 1])),
        )
        same = not first or (stride == 1 and self.channels[stage] == self.channels[stage + 1])
        return InvertedResidual(body, residual=same)

    def expansion_options(self, stage: int, index: int) -> tuple[float, ...]:
        """Return the options for the expansion of a block, in ascending order."""
        extra = self.extra_expansions if stage == FINE_STAGE and index else ()
        return tuple(sorted((*self.expansions, *extra)))

    def _activation(self, stage: int) -> nn.Module:
        if self.search_activation:
            return Choice(KINDS, label=f"stage_{stage}.activation")
        return KINDS[ACTIVATIONS[stage]]()

    def _attention(self, stage: int, channels: int) -> Sequence[nn.Module]:
        make = partial(ElasticSqueezeExcite, channels, divisor=self.divisor)
        if self.search_squeeze_excite:
            return [Choice({"yes": make, "no": nn.Identity}, label=f"stage_{stage}.squeeze_excite")]
        return [make()] if SQUEEZE_EXCITE[stage] else []

    def _head(self) -> nn.Module:
        wide, hidden = self.head_channels
        return nn.Sequential(
            *self._conv(self._most(self.channels[-1]), self._width(wide), activation=nn.Hardswish),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            *(ElasticLinear(self._most(wide), self._width(hidden)), nn.Hardswish(), nn.Dropout(self.dropout)),
            ElasticLinear(self._most(hidden), self.n_classes),
        )


def _block(space: MobileNetV3, stage: int, index: int) -> nn.Module:
    return space.block(stage, index)


def _multiplied(channels: int, divisor: int, width: float, n_in: int) -> int:
    return make_divisible(channels * width, divisor)


def mobilenet_v3_large(space: MobileNetV3 | None = None) -> Architecture:
    """MobileNetV3-Large at the highest resolution of a space, by default the one of 224 pixels.

    Args:
        space: has the options that it needs, as by default.

    Raises:
        SpaceError: if it has not.
    """
    space = space or MobileNetV3()
    options: dict[str, Option] = {"resolution": max(space.sides), "width": 1.0}
    for stage, kernels in enumerate(LARGE_KERNELS):
        options[f"stage_{stage}.depth"] = len(kernels)
        for index, (kernel, expansion) in enumerate(zip(kernels, LARGE_EXPANSIONS[stage], strict=True)):
            options |= {f"stage_{stage}.{index}.kernel": kernel, f"stage_{stage}.{index}.expansion": expansion}
        if space.search_squeeze_excite:
            options[f"stage_{stage}.squeeze_excite"] = "yes" if SQUEEZE_EXCITE[stage] else "no"
        if space.search_activation:
            options[f"stage_{stage}.activation"] = ACTIVATIONS[stage]
    return space.canonical(options)
