"""Residual networks of elastic depth and width (He et al., CVPR 2016, arXiv:1512.03385; Xie et al., arXiv:1611.05431).

ResNet-18, ResNet-34, ResNet-50 and ResNeXt-50 (32x4d) are members, with the stride of a bottleneck in its 3x3
convolution. Elastic depth, widths and expansion ratios are those of the once-for-all ResNet-50 (Cai et al., "Once-for-
All", arXiv:1908.09791). Deviations: the hidden width of a stage's first block follows its input width, not its
output width; the stem is one convolution; weights start as PyTorch's do.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import lcm
from typing import Literal, get_args

import torch
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.errors import SpaceError
from raynas.nn.elastic import Size, make_divisible
from raynas.nn.elastic_layers import ElasticBatchNorm2d, ElasticConv2d, ElasticLinear
from raynas.nn.model_space import ModelSpace
from raynas.nn.repeat import Repeat

Block = Literal["basic", "bottleneck"]
"""Two 3x3 convolutions, or a 3x3 between two 1x1 convolutions."""

Stem = Literal["imagenet", "cifar"]
"""A 7x7 convolution and a pooling that together divide the image's side by 4, or a 3x3 convolution that keeps it."""

N_STAGES = 4
WIDENING = {"basic": 1, "bottleneck": 4}
"""Ratio of the first stage's width to that of the stem; each further stage is twice as wide."""


class Residual(nn.Module):
    """A block to whose output the input is added, before a last ReLU.

    Args:
        body: maps the image to the block's channels and size.
        shortcut: maps the input to the same.
    """

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(batch, channels, height, width)`` to the output's channels, height and width."""
        out: torch.Tensor = self.relu(self.body(x) + self.shortcut(x))
        return out


@dataclass(frozen=True, kw_only=True)
class ResNet(ModelSpace):
    """Residual networks with basic, bottleneck or ResNeXt blocks, elastic in depth and width.

    Decisions, with stages and blocks counted from 0:

    - ``stem.width`` and ``stage_0.width``: what the stem's and a stage's width are multiplied by; basic blocks pass the
      stem's width on, so ``stage_0.width`` is that of both;
    - ``stage_0.depth``: blocks in a stage;
    - ``stage_0.1.expansion``: of a bottleneck, its inside relative to the width of its stage.

    By default there are 3 * 3^4 * (3^2 + 3^3 + 3^4)^3 * (3^2 + … + 3^6), about 4.2e11 networks.

    Args:
        input_shape: channels, height and width of an image.
        n_classes: number of outputs.
        block: what all blocks are.
        group_width: channels in a group of the first stage's 3x3 convolutions; doubled in each stage, so that the
            number of groups stays (ResNeXt). None for no groups. Only bottlenecks have them.
        stem: "imagenet" divides the image's side by 4, "cifar" keeps it.
        widths: options of the widths.
        depths: fewest and most blocks of each stage, at least 1.
        expansions: options of the expansion; None for 0.2, 0.25 and 0.35, or with groups for twice that. Basic blocks
            have none.
        channels: width of the stem.
        divisor: all widths are multiples of it.

    Raises:
        SpaceError: if a size is below 1, an option is impossible or unknown, or basic blocks are to have groups or
            expansions.
    """

    input_shape: tuple[int, ...] = (3, 224, 224)
    n_classes: int = 1000
    block: Block = "bottleneck"
    group_width: int | None = None
    stem: Stem = "imagenet"
    widths: tuple[float, ...] = (0.65, 0.8, 1.0)
    depths: tuple[tuple[int, int], ...] = ((2, 4), (2, 4), (2, 6), (2, 4))
    expansions: tuple[float, ...] | None = None
    channels: int = 64
    divisor: int = 8

    def __post_init__(self) -> None:
        if self.block not in get_args(Block) or self.stem not in get_args(Stem):
            raise SpaceError(f"block must be one of {get_args(Block)} and stem one of {get_args(Stem)}, got {self}")
        lows = [low for low, _ in self.depths]
        sizes = (*self.input_shape, self.n_classes, self.channels, self.divisor, self.group_width or 1, *lows)
        if len(self.input_shape) != 3 or min(sizes) < 1:
            raise SpaceError(f"input_shape must be (channels, height, width) and every size at least 1, got {self}")
        if len(self.depths) != N_STAGES:
            raise SpaceError(f"depths must be those of {N_STAGES} stages, got {self.depths}")
        if self.block == "basic" and (self.group_width or self.expansions):
            raise SpaceError("basic blocks have no groups and no expansions: take block='bottleneck'")
        Size(self.widths), Size(self.ratios)  # They refuse what is impossible.
        for low, high in self.depths:
            Repeat(lambda i: nn.Identity(), low, high)

    @cached_property
    def ratios(self) -> tuple[float, ...]:
        """The options of the expansion."""
        return self.expansions or ((0.4, 0.5, 0.7) if self.group_width else (0.2, 0.25, 0.35))

    def factory(self) -> nn.Module:
        """Return the network with elastic sizes."""
        stages = {f"stage_{i}": self._stage(i) for i in range(N_STAGES)}
        wide = self._most(self._channels(N_STAGES - 1))
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), ElasticLinear(wide, self.n_classes))
        return nn.Sequential(OrderedDict({"stem": self._stem(), **stages, "head": head}))

    def _channels(self, stage: int) -> int:
        """Return the width of a stage at multiplier 1; that of the stem for stage -1."""
        return self.channels if stage < 0 else self.channels * WIDENING[self.block] * 2**stage

    def _most(self, channels: int) -> int:
        return _multiplied(channels, self.divisor, max(self.widths), 0)

    def _width(self, stage: int) -> Size:
        label = "stem.width" if stage < 0 and self.block == "bottleneck" else f"stage_{max(0, stage)}.width"
        return Size(self.widths, label, partial(_multiplied, self._channels(stage), self.divisor))

    def _stem(self) -> nn.Module:
        n_in, small = self.input_shape[0], self.stem == "cifar"
        conv = _conv(n_in, self._width(-1), 3 if small else 7, stride=1 if small else 2)
        pool = () if small else (nn.MaxPool2d(3, stride=2, padding=1),)
        return nn.Sequential(*conv, nn.ReLU(), *pool)

    def _stage(self, stage: int) -> Repeat:
        return Repeat(partial(_block, self, stage), *self.depths[stage], label=f"stage_{stage}.depth")

    def residual(self, stage: int, index: int) -> nn.Module:
        """Block ``index`` of a stage, both counted from 0, with its sizes open."""
        before = stage if index else stage - 1
        n_in, stride = self._most(self._channels(before)), 1 if index or not stage else 2
        make = self._bottleneck if self.block == "bottleneck" else self._basic
        body = nn.Sequential(*make(stage, index, n_in, stride))
        if stride == 1 and self._channels(before) == self._channels(stage):
            return Residual(body, nn.Identity())
        return Residual(body, nn.Sequential(*_conv(n_in, self._width(stage), 1, stride=stride)))

    def _basic(self, stage: int, index: int, n_in: int, stride: int) -> Sequence[nn.Module]:
        first = _conv(n_in, self._width(stage), 3, stride=stride)
        return (*first, nn.ReLU(), *_conv(self._most(self._channels(stage)), self._width(stage), 3))

    def _bottleneck(self, stage: int, index: int, n_in: int, stride: int) -> Sequence[nn.Module]:
        group_width = self.group_width * 2**stage if self.group_width else None
        # How many times as wide as its input a block is at multiplier 1.
        wider = self._channels(stage) // self._channels(stage if index else stage - 1)
        of = partial(_inside, wider, lcm(self.divisor, group_width or 1))
        inside = max(of(option, n_in) for option in self.ratios)
        return (
            *(*_conv(n_in, Size(self.ratios, f"stage_{stage}.{index}.expansion", of), 1), nn.ReLU()),
            *(*_conv(inside, None, 3, stride=stride, group_width=group_width), nn.ReLU()),
            *_conv(inside, self._width(stage), 1),
        )


def _block(space: ResNet, stage: int, index: int) -> nn.Module:
    return space.residual(stage, index)


def _conv(
    n_in: int, n_out: Size | None, kernel: int, *, stride: int = 1, group_width: int | None = None
) -> Sequence[nn.Module]:
    conv = ElasticConv2d(n_in, n_out, kernel, stride=stride, group_width=group_width)
    return conv, ElasticBatchNorm2d(conv.most_out)


def _multiplied(channels: int, divisor: int, width: float, n_in: int) -> int:
    return make_divisible(channels * width, divisor)


def _inside(wider: int, divisor: int, expansion: float, n_in: int) -> int:
    return make_divisible(expansion * wider * n_in, divisor)


def regular(space: ResNet, depths: Sequence[int]) -> Architecture:
    """Return the member with full widths and the published bottleneck: 1/4 of the width, 1/2 with groups.

    Args:
        space: has these options, as by default.
        depths: blocks in each of the four stages.

    Raises:
        SpaceError: if it has not.
    """
    options: dict[str, Option] = {f"stage_{i}.width": 1.0 for i in range(N_STAGES)}
    options |= {f"stage_{i}.depth": depth for i, depth in enumerate(depths)}
    if space.block == "bottleneck":
        expansion = 0.5 if space.group_width else 0.25
        options |= {f"stage_{i}.{j}.expansion": expansion for i, depth in enumerate(depths) for j in range(depth)}
        options["stem.width"] = 1.0
    return space.canonical(options)


PUBLISHED: Mapping[str, tuple[Callable[[], ResNet], tuple[int, ...]]] = {
    "resnet18": (partial(ResNet, block="basic"), (2, 2, 2, 2)),
    "resnet34": (partial(ResNet, block="basic"), (3, 4, 6, 3)),
    "resnet50": (ResNet, (3, 4, 6, 3)),
    "resnext50_32x4d": (partial(ResNet, group_width=4), (3, 4, 6, 3)),
}
"""Published networks: the space that each is in, and its depths."""


def published(name: str) -> tuple[ResNet, Architecture]:
    """Return the space that contains a published network, and its architecture.

    Args:
        name: one of ``PUBLISHED``.

    Raises:
        SpaceError: if it is not known.
    """
    if name not in PUBLISHED:
        raise SpaceError(f"there is no {name!r}; published networks: {', '.join(PUBLISHED)}")
    make, depths = PUBLISHED[name]
    space = make()
    return space, regular(space, depths)
