"""Compound scaling of EfficientNet-B0 (Tan and Le, "EfficientNet", ICML 2019, arXiv:1905.11946).

The first step of the paper is a grid search: how much of twice the multiply-adds goes into depth (alpha), width (beta)
and resolution (gamma), with alpha * beta^2 * gamma^2 close to 2. The second step raises these numbers to a power phi,
for about 2^phi times the multiply-adds. There is no supernet: the paper trains each of the few networks by itself, and
those of a larger phi are searched by no one, so nothing would be shared. Deviation: weights start as PyTorch's do.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from typing import Literal, NamedTuple, get_args

import torch
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Categorical, Decision
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.nn.elastic import make_divisible
from raynas.nn.layers import Resize, SqueezeExcite

Family = Literal["grid", "published"]
"""Kinds of decision: alpha, beta and gamma, or one of B0 to B7."""


class Scaling(NamedTuple):
    """Factors of depth, width and resolution relative to B0."""

    depth: float
    width: float
    resolution: float


PUBLISHED: Mapping[str, Scaling] = {
    "b0": Scaling(1.0, 1.0, 1.0),
    "b1": Scaling(1.1, 1.0, 240 / 224),
    "b2": Scaling(1.2, 1.1, 260 / 224),
    "b3": Scaling(1.4, 1.2, 300 / 224),
    "b4": Scaling(1.8, 1.4, 380 / 224),
    "b5": Scaling(2.2, 1.6, 456 / 224),
    "b6": Scaling(2.6, 1.8, 528 / 224),
    "b7": Scaling(3.1, 2.0, 600 / 224),
}
"""The family of the authors, whose scalings are near powers of (1.2, 1.1, 1.15), not equal to them."""


class Stage(NamedTuple):
    """A stage of B0: its first block has the stride and changes the width."""

    expansion: int
    kernel: int
    stride: int
    channels: int
    blocks: int


STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280


class StochasticDepth(nn.Module):
    """In training drops an example's whole tensor at random, and scales up what stays (Huang et al. 2016).

    Args:
        drop_prob: of each example, in [0, 1).
    """

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(batch, ...)`` to the same shape."""
        if not self.training or not self.drop_prob:
            return x
        kept = torch.empty((len(x), *(1,) * (x.dim() - 1)), device=x.device, dtype=x.dtype)
        return x * kept.bernoulli_(1 - self.drop_prob) / (1 - self.drop_prob)


class MBConv(nn.Module):
    """An inverted residual block with squeeze-excite.

    Args:
        n_in: channels of the input.
        n_out: channels of the output.
        kernel: side of the depthwise convolution.
        stride: of it.
        expansion: how many times as wide as the input the inside is; nothing expands if 1.
        drop_prob: of the block in training, where its input is added to its output: stride 1 and equal widths.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, expansion: int, drop_prob: float) -> None:
        super().__init__()
        inside = n_in * expansion
        expand = _conv(n_in, inside, 1) if expansion > 1 else ()
        # Hidden width relative to the input width, not to the expanded one as in MobileNetV3.
        attention = SqueezeExcite(inside, max(1, n_in // 4), nn.Sigmoid, nn.SiLU)
        depthwise = _conv(inside, inside, kernel, stride=stride, groups=inside)
        self.body = nn.Sequential(*expand, *depthwise, attention, *_conv(inside, n_out, 1)[:-1])
        self.residual = stride == 1 and n_in == n_out
        self.drop = StochasticDepth(drop_prob)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(batch, n_in, height, width)`` to ``(batch, n_out, height / stride, width / stride)``."""
        out: torch.Tensor = self.body(x)
        return x + self.drop(out) if self.residual else out


def _conv(n_in: int, n_out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return conv, nn.BatchNorm2d(n_out, eps=0.001, momentum=0.01), nn.SiLU()


def round_filters(channels: int, width: float, divisor: int = 8) -> int:
    """Scale the width of a layer of B0: to a multiple of ``divisor``, at least 90 % of the exact product."""
    return make_divisible(channels * width, divisor)


def round_repeats(blocks: int, depth: float) -> int:
    """Scale the number of blocks of a stage of B0, rounded up."""
    # 1.1 * 10 is 11.000000000000002, which is not meant to be 12.
    return math.ceil(round(blocks * depth, 9))


@dataclass(frozen=True, kw_only=True)
class EfficientNet(SearchSpace):
    """Compound scalings of EfficientNet-B0: alpha, beta and gamma at a given phi, or B0 to B7.

    With the family "grid" decisions are ``beta`` and ``gamma``, and for each pair of them, such as 1.1 and 1.15, an
    ``alpha_1.1_1.15`` of what they leave: the numbers of the grid for which alpha * beta^2 * gamma^2 is 2 within the
    tolerance. ``coefficients(arch)`` reads them. There are 75 members by default. ``dataclasses.replace(space, phi=3)``
    is the same space with larger networks: search at phi = 1, then scale what was found.

    With "published" there is one decision, ``variant``: "b0" to "b7".

    Args:
        input_shape: channels, height and width of an image; the network resizes it to a square.
        n_classes: number of outputs.
        family: what is decided.
        phi: the power of alpha, beta and gamma, at least 0, of no effect on published variants.
        resolution: side in pixels that B0 works on; None for the shorter side of the input.
        step: distance of the grid's numbers, which begin at 1.
        highest: the largest beta and gamma.
        tolerance: how far alpha * beta^2 * gamma^2 may be from 2.
        dropout: probability before the classifier, in [0, 1); published are 0.2 for B0 to 0.5 for B7.
        drop_prob: what the blocks' probabilities of being dropped in training grow towards, linearly from 0; in [0, 1).
        width: all networks are that much wider, e.g. 0.25 for quick experiments.
        divisor: all widths are multiples of it.

    Raises:
        SpaceError: if a size is below 1, a number is out of its range, or the grid leaves no alpha for some pair.
    """

    input_shape: tuple[int, ...] = (3, 224, 224)
    n_classes: int = 1000
    family: Family = "grid"
    phi: float = 1.0
    resolution: int | None = None
    step: float = 0.05
    highest: float = 1.2
    tolerance: float = 0.1
    dropout: float = 0.2
    drop_prob: float = 0.2
    width: float = 1.0
    divisor: int = 8

    def __post_init__(self) -> None:
        sizes = (*self.input_shape, self.n_classes, self.divisor, 1 if self.resolution is None else self.resolution)
        if len(self.input_shape) != 3 or min(sizes) < 1:
            raise SpaceError(f"input_shape must be (channels, height, width) and every size at least 1, got {self}")
        if self.family not in get_args(Family):
            raise SpaceError(f"family must be one of {', '.join(get_args(Family))}, got {self.family!r}")
        if not self.phi >= 0 or not self.tolerance >= 0 or self.highest < 1 or min(self.step, self.width) <= 0:
            raise SpaceError(f"phi and tolerance must be >= 0, highest >= 1, step and width > 0, got {self}")
        if not (0 <= self.dropout < 1 and 0 <= self.drop_prob < 1):
            raise SpaceError(f"dropout and drop_prob must be in [0, 1), got {self.dropout} and {self.drop_prob}")
        for (beta, gamma), alphas in self._alphas.items():
            if not alphas:
                raise SpaceError(
                    f"for beta {beta} and gamma {gamma} no alpha >= 1 on the grid gives 2 within {self.tolerance}: "
                    "take a larger tolerance, a smaller step or a lower highest"
                )

    @cached_property
    def _alphas(self) -> Mapping[tuple[float, float], tuple[float, ...]]:
        """The options of alpha for each beta and gamma."""
        grid = tuple(self._grid(self.highest))
        alphas = tuple(self._grid(2 + self.tolerance))
        return {
            (beta, gamma): tuple(alpha for alpha in alphas if self._doubles(alpha, beta, gamma))
            for beta, gamma in product(grid, grid)
        }

    def _grid(self, highest: float) -> Iterator[float]:
        steps = math.floor((highest - 1) / self.step + 1e-9)
        return (round(1 + i * self.step, 9) for i in range(steps + 1))

    def _doubles(self, alpha: float, beta: float, gamma: float) -> bool:
        return abs(alpha * beta**2 * gamma**2 - 2) <= self.tolerance + 1e-9

    @property
    def decisions(self) -> Sequence[Decision]:
        if self.family == "published":
            return (Categorical("variant", tuple(PUBLISHED)),)
        grid = tuple(self._grid(self.highest))
        alphas = [
            Categorical(alpha_name(beta, gamma), alphas, active_if={"beta": (beta,), "gamma": (gamma,)})
            for (beta, gamma), alphas in self._alphas.items()
        ]
        return (Categorical("beta", grid), Categorical("gamma", grid), *alphas)

    def build(self, arch: Mapping[str, Option]) -> nn.Module:
        options = self.canonical(arch)
        return self.network(self.scaling(options))

    def scaling(self, arch: Mapping[str, Option]) -> Scaling:
        """Return the scaling of a member at the space's ``phi``."""
        return PUBLISHED[str(arch["variant"])] if "variant" in arch else compound(arch, self.phi)

    def network(self, scaling: Scaling) -> nn.Module:
        """B0 scaled, with fresh weights; whether or not a member is scaled so."""
        resize = Resize(max(1, round((self.resolution or min(self.input_shape[1:])) * scaling.resolution)))
        stem, head = self._round(STEM_CHANNELS, scaling), self._round(HEAD_CHANNELS, scaling)
        return nn.Sequential(
            resize,
            nn.Sequential(*_conv(self.input_shape[0], stem, 3, stride=2)),
            *self._blocks(scaling),
            nn.Sequential(*_conv(self._round(STAGES[-1].channels, scaling), head, 1)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(self.dropout), nn.Linear(head, self.n_classes)),
        )

    def _round(self, channels: int, scaling: Scaling) -> int:
        return round_filters(channels, scaling.width * self.width, self.divisor)

    def _blocks(self, scaling: Scaling) -> Iterator[MBConv]:
        widths = [self._round(channels, scaling) for channels in (STEM_CHANNELS, *(s.channels for s in STAGES))]
        depths = [round_repeats(stage.blocks, scaling.depth) for stage in STAGES]
        drop_probs = iter([self.drop_prob * i / sum(depths) for i in range(sum(depths))])
        for (expansion, kernel, stride, *_), depth, (n_in, n_out) in zip(STAGES, depths, pairwise(widths), strict=True):
            yield MBConv(n_in, n_out, kernel, stride, expansion, next(drop_probs))
            for _ in range(depth - 1):
                yield MBConv(n_out, n_out, kernel, 1, expansion, next(drop_probs))


def alpha_name(beta: float, gamma: float) -> str:
    """Return the decision about alpha under ``beta`` and ``gamma``."""
    return f"alpha_{beta}_{gamma}"


def coefficients(arch: Mapping[str, Option]) -> tuple[float, float, float]:
    """Alpha, beta and gamma of a member of the family "grid".

    Raises:
        SpaceError: if it holds none.
    """
    try:
        beta, gamma = float(arch["beta"]), float(arch["gamma"])
        return float(arch[alpha_name(beta, gamma)]), beta, gamma
    except KeyError as error:
        raise SpaceError(f"{dict(arch)} has no alpha, beta and gamma: it is no member of the family 'grid'") from error


def from_coefficients(alpha: float, beta: float, gamma: float) -> Architecture:
    """Return the member of the family "grid" with these numbers, e.g. the published 1.2, 1.1 and 1.15."""
    return Architecture({"beta": beta, "gamma": gamma, alpha_name(float(beta), float(gamma)): alpha})


def compound(arch: Mapping[str, Option], phi: float) -> Scaling:
    """Depth, width and resolution, relative to B0, for about 2^phi times its multiply-adds.

    Args:
        arch: a member of the family "grid".
        phi: how much more there is to spend, at least 0; 0 gives B0.

    Raises:
        SpaceError: if ``arch`` holds no alpha, beta and gamma, or phi is negative.
    """
    if phi < 0:
        raise SpaceError(f"phi must be at least 0, got {phi}")
    alpha, beta, gamma = coefficients(arch)
    return Scaling(alpha**phi, beta**phi, gamma**phi)
