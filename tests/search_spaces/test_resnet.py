from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import nn

from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.metrics import count_macs, count_params
from raynas.search_spaces.resnet import PUBLISHED, ResNet, Stem, published, regular
from raynas.testing import SpaceContract

SMALL = ResNet(
    input_shape=(1, 16, 16),
    n_classes=3,
    widths=(0.5, 1.0),
    depths=((1, 2), (1, 1), (1, 3), (1, 2)),
    expansions=(0.25, 0.5),
    channels=4,
    divisor=2,
)


class TestBasic(SpaceContract):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return replace(SMALL, block="basic", expansions=None, stem="cifar")


class TestGroups(SpaceContract):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return replace(SMALL, group_width=2, stem="cifar", expansions=(0.5, 1.0))


# torchvision 0.21, ResNet18_Weights etc.: "num_params" and "_ops", multiply-adds in 1e9.
TORCHVISION = {
    "resnet18": (11_689_512, 1.814),
    "resnet34": (21_797_672, 3.664),
    "resnet50": (25_557_032, 4.089),
    "resnext50_32x4d": (25_028_904, 4.23),
}


def counted(name: str) -> tuple[int, int]:
    """Parameters and multiply-adds from the tables of the papers, by hand."""
    basic, depths = name in ("resnet18", "resnet34"), PUBLISHED[name][1]
    groups, inner = (32, 2) if name.startswith("resnext") else (1, 1)

    def conv(n_in: int, n_out: int, kernel: int, side: int, groups: int = 1) -> tuple[int, int]:
        weights = n_in // groups * n_out * kernel**2
        return weights + 2 * n_out, weights * side**2

    def costs() -> Iterator[tuple[int, int]]:
        yield conv(3, 64, 7, 112)
        n_in = 64
        for stage, depth in enumerate(depths):
            side, planes = 56 // 2**stage, 64 * 2**stage
            n_out, inside = (planes, planes) if basic else (4 * planes, inner * planes)
            for i in range(depth):
                before = 2 * side if i == 0 and stage else side
                if basic:
                    yield conv(n_in, n_out, 3, side)
                    yield conv(n_out, n_out, 3, side)
                else:
                    yield conv(n_in, inside, 1, before)
                    yield conv(inside, inside, 3, side, groups)
                    yield conv(inside, n_out, 1, side)
                if i == 0 and n_in != n_out:
                    yield conv(n_in, n_out, 1, side)
                n_in = n_out
        yield 1000 * (n_in + 1), 1000 * (n_in + 1)

    params, macs = zip(*costs(), strict=True)
    return sum(params), sum(macs)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_are_members(name: str) -> None:
    space, arch = published(name)
    with torch.device("meta"):
        model = space.build(arch)
    params, macs = count_params(model), count_macs(model, (3, 224, 224))
    assert (params, round(macs / 1e9, 3)) == TORCHVISION[name]
    assert (params, macs) == counted(name)


def test_no_other_network_is_published() -> None:
    with pytest.raises(SpaceError, match="no 'resnet1000'; published networks: resnet18"):
        published("resnet1000")


def test_has_the_stated_size() -> None:
    # Each of three depths of a stage has a ratio in three for each block; stage 2 has two to six blocks.
    stage, third = 3**2 + 3**3 + 3**4, 3**2 + 3**3 + 3**4 + 3**5 + 3**6
    assert ResNet().size == 3 * 3**4 * stage**3 * third == 423_830_043_351
    assert ResNet(block="basic").size == 3**4 * 3**3 * 5


def test_groups_keep_their_number_in_every_stage() -> None:
    space, arch = published("resnext50_32x4d")
    with torch.device("meta"):
        grouped = [m for m in space.build(arch).modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert [m.groups for m in grouped] == [32] * 16
    assert [m.in_channels for m in grouped] == [128] * 3 + [256] * 4 + [512] * 6 + [1024] * 3


def test_widths_and_expansions_are_those_decided() -> None:
    space = ResNet()
    arch = regular(space, (2, 2, 4, 2))
    decided = {"stem.width": 0.8, "stage_1.width": 0.65, "stage_1.0.expansion": 0.35, "stage_1.1.expansion": 0.2}
    with torch.device("meta"):
        model = space.build({**arch, **decided})

    def widths(module: nn.Module) -> list[tuple[int, int]]:
        return [(m.in_channels, m.out_channels) for m in module.modules() if isinstance(m, nn.Conv2d)]

    # make_divisible: 0.8 * 64 is 48 (51.2 to a multiple of 8), 0.65 * 512 is 336.
    assert widths(model.stem) == [(3, 48)]  # type: ignore[arg-type]
    # The first block's inside follows what comes in, at 1 half as wide as the stage: 0.35 * 2 * 256 is 176.
    first, second = model.stage_1  # type: ignore[misc]
    assert widths(first) == [(256, 176), (176, 176), (176, 336), (256, 336)]
    assert widths(second) == [(336, 64), (64, 64), (64, 336)]


def test_basic_blocks_pass_the_stem_on() -> None:
    space = ResNet(block="basic")
    with torch.device("meta"):
        model = space.build({**regular(space, (2, 2, 2, 2)), "stage_0.width": 0.65})
    assert model.stem[0].out_channels == 40  # type: ignore[index, union-attr]
    assert isinstance(model.stage_0[0].shortcut, nn.Identity)  # type: ignore[index, union-attr]


@pytest.mark.parametrize(("stem", "sides"), [("imagenet", [8, 4, 2, 1]), ("cifar", [32, 16, 8, 4])])
def test_the_stem_decides_the_size_of_the_stages(stem: Stem, sides: list[int]) -> None:
    space = replace(SMALL, stem=stem, input_shape=(1, 32, 32))
    model, x, seen = space.build(next(space.showcase(1))).eval(), torch.zeros(1, 1, 32, 32), []
    for name, part in model.named_children():
        x = part(x)
        if name.startswith("stage"):
            seen.append(x.shape[-1])
    assert seen == sides


@pytest.mark.parametrize(("height", "width"), [(1, 1), (9, 33)])
def test_takes_images_of_any_size(height: int, width: int) -> None:
    model = SMALL.build(next(SMALL.showcase(1))).eval()
    assert model(torch.zeros(1, 1, height, width)).shape == (1, 3)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_classes": 0}, "at least 1"),
        ({"input_shape": (3, 32)}, "at least 1"),
        ({"group_width": -1}, "at least 1"),
        ({"depths": ((0, 2),) * 4}, "at least 1"),
        ({"depths": ((3, 2),) * 4}, "low <= high"),
        ({"depths": ((1, 2),) * 3}, "of 4 stages"),
        ({"block": "wide"}, "block must be one of"),
        ({"stem": "deep"}, "stem one of"),
        ({"block": "basic", "group_width": 4}, "no groups"),
        ({"block": "basic", "expansions": (0.5,)}, "no groups and no expansions"),
        ({"widths": (1.0, 1.0)}, "different positive numbers"),
        ({"expansions": (-1.0,)}, "different positive numbers"),
    ],
)
def test_refuses_impossible_sizes(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        ResNet(**sizes)  # type: ignore[arg-type]
