from collections.abc import Iterator, Sequence

import pytest
import torch

from raynas.core.architecture import Architecture
from raynas.errors import SpaceError
from raynas.metrics import count_macs, count_params
from raynas.search_spaces.shufflenet import OPERATIONS, STAGES, ShuffleNet

SMALL = ShuffleNet(input_shape=(1, 8, 8), n_classes=3, stem_channels=2, channels=(4, 6, 8, 10), head_channels=4)

# The network that the authors published (megvii-model/ShuffleNet-Series, OneShot): its blocks, and the widths inside
# them, which they searched too.
PUBLISHED = (0, 0, 3, 1, 1, 1, 0, 0, 2, 0, 2, 1, 1, 0, 2, 0, 2, 1, 3, 2)
INSIDE = (1.4, 1.2, 0.8, 1.2, 0.6, 1.4, 0.8, 1.0, 0.6, 1.2, 1.6, 1.2, 1.0, 1.4, 1.6, 1.0, 1.0, 1.2, 1.0, 0.8)


def architecture(numbers: Sequence[int]) -> Architecture:
    names = tuple(OPERATIONS)
    return Architecture({f"layer_{i}": names[number] for i, number in enumerate(numbers)})


def test_costs_are_the_papers() -> None:
    # 328 M multiply-adds (arXiv 1904.00420, "block search + channel search") and 3.4 M parameters.
    space = ShuffleNet(inside=INSIDE)
    with torch.device("meta"):
        model = space.build(architecture(PUBLISHED))
    assert round(count_macs(model, space.input_shape) / 1e6) == 328
    assert round(count_params(model) / 1e6, 1) == 3.4


def counted(number: int) -> tuple[int, int]:
    """Parameters and multiply-adds of the network of one operation, by hand; inside, blocks are half as wide."""

    def costs() -> Iterator[tuple[int, int]]:
        def conv(n_in: int, n_out: int, pixels: int, kernel: int = 1, groups: int = 1) -> tuple[int, int]:
            weights = n_in // groups * n_out * kernel**2
            return weights + 2 * n_out, weights * pixels

        def depthwise(channels: int, pixels: int, kernel: int) -> tuple[int, int]:
            return conv(channels, channels, pixels, kernel, groups=channels)

        kernel = (3, 5, 7, 3)[number]
        yield conv(3, 16, 112**2, 3)
        n_in, side = 16, 112
        for n_out, n_layers in zip((64, 160, 320, 640), STAGES, strict=True):
            for i in range(n_layers):
                inside, first, before = n_out // 2, i == 0, side**2
                main_in, main_out = (n_in, n_out - n_in) if first else (n_out // 2, n_out // 2)
                if first:
                    side //= 2
                    yield depthwise(n_in, side**2, kernel)
                    yield conv(n_in, n_in, side**2)
                if number == 3:
                    yield depthwise(main_in, side**2, 3)
                    yield conv(main_in, inside, side**2)
                    yield depthwise(inside, side**2, 3)
                    yield conv(inside, inside, side**2)
                    yield depthwise(inside, side**2, 3)
                else:
                    yield conv(main_in, inside, before)
                    yield depthwise(inside, side**2, kernel)
                yield conv(inside, main_out, side**2)
            n_in = n_out
        yield conv(640, 1024, 49)
        yield 1024 * 1000, 1024 * 1000

    params, macs = zip(*costs(), strict=True)
    return sum(params), sum(macs)


@pytest.mark.parametrize("number", range(4))
def test_costs_are_those_of_an_independent_count(number: int) -> None:
    space = ShuffleNet()
    with torch.device("meta"):
        model = space.build(architecture([number] * 20))
    assert (count_params(model), count_macs(model, space.input_shape)) == counted(number)


def test_costs_have_not_changed() -> None:
    assert [counted(number) for number in range(4)] == [
        (3_154_880, 295_842_496),
        (3_211_968, 313_654_976),
        (3_297_600, 340_373_696),
        (3_870_816, 358_825_920),
    ]


def test_has_the_published_size() -> None:
    assert ShuffleNet().size == 4**20


def test_options_are_in_the_order_of_the_authors_numbers() -> None:
    assert tuple(OPERATIONS) == ("shuffle_3x3", "shuffle_5x5", "shuffle_7x7", "xception")


@pytest.mark.parametrize("number", range(4))
def test_a_block_passes_every_second_channel(number: int) -> None:
    layer = SMALL.build(architecture([number] * 20))[4].eval()  # type: ignore[index]
    x = torch.randn(1, 4, 5, 5)
    out = layer(x)
    assert torch.equal(out[:, :2], x[:, [0, 2]])
    assert torch.equal(out[:, 2:], layer.body(x[:, [1, 3]]))


def test_stages_halve_the_image() -> None:
    model, x, shapes = SMALL.build(architecture(PUBLISHED)), torch.zeros(2, 1, 64, 64), []
    for layer in model:  # type: ignore[attr-defined]
        x = layer(x)
        if type(layer).__name__.startswith("Shuffle"):
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [(4, 16, 16)] * 4 + [(6, 8, 8)] * 4 + [(8, 4, 4)] * 8 + [(10, 2, 2)] * 4


@pytest.mark.parametrize("side", [1, 9, 33])
def test_takes_images_of_any_size(side: int) -> None:
    assert SMALL.build(architecture(PUBLISHED)).eval()(torch.zeros(1, 1, side, side)).shape == (1, 3)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_classes": 0}, "at least 1"),
        ({"input_shape": (3, 32)}, "at least 1"),
        ({"channels": (64, 160, 320, 320)}, "that grow"),
        ({"channels": (64, 160, 321, 640)}, "even widths"),
        ({"channels": (64, 160, 320)}, "four even widths"),
        ({"stem_channels": 64}, "that grow"),
        ({"inside": (1.0,) * 19}, "20 numbers"),
        ({"inside": (0.0,) * 20}, "above 0"),
        ({"dropout": 1.0}, r"in \[0, 1\)"),
    ],
)
def test_refuses_impossible_sizes(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        ShuffleNet(**sizes)  # type: ignore[arg-type]
