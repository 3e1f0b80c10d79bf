import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.metrics import count_macs, count_params
from raynas.search_spaces.efficientnet import (
    PUBLISHED,
    EfficientNet,
    StochasticDepth,
    coefficients,
    compound,
    from_coefficients,
    round_filters,
    round_repeats,
)
from raynas.testing import SpaceContract

SMALL = EfficientNet(input_shape=(1, 16, 16), n_classes=3, width=0.1, divisor=2, step=0.2, tolerance=0.3)

# torchvision 0.21, EfficientNet_B0_Weights etc.: "num_params", and "_ops", multiply-adds in 1e9, at the paper's
# resolution; torchvision's 1.088 for B2 is at 288 pixels, so the number here is our own count at 260: 1.0 in the paper.
TORCHVISION = {
    "b0": (5_288_548, 0.386, 224),
    "b1": (7_794_184, 0.687, 240),
    "b2": (9_109_994, 0.994, 260),
    "b3": (12_233_232, 1.827, 300),
    "b4": (19_341_616, 4.394, 380),
    "b5": (30_389_784, 10.266, 456),
    "b6": (43_040_704, 19.068, 528),
    "b7": (66_347_960, 37.746, 600),
}
ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15  # Tan and Le, section 3.3.


class TestPublished(SpaceContract):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return replace(SMALL, family="published", width=0.05)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_variants_are_members(name: str) -> None:
    space = EfficientNet(family="published")
    assert set(PUBLISHED) == set(TORCHVISION) == {d for d in space.decisions[0].options}
    with torch.device("meta"):
        model = space.build(space.canonical({"variant": name}))
    assert (count_params(model), model[0].side) == TORCHVISION[name][::2]  # type: ignore[index]
    assert round(count_macs(model, space.input_shape) / 1e9, 3) == TORCHVISION[name][1]


def test_the_grid_holds_what_about_doubles_the_multiply_adds() -> None:
    space = EfficientNet()
    triples = [coefficients(arch) for arch in space.enumerate()]
    assert len(set(triples)) == len(triples) == space.size == 75
    assert (ALPHA, BETA, GAMMA) in triples  # Within the tolerance: 1.92.
    assert all(abs(a * b**2 * g**2 - 2) <= 0.1 + 1e-9 for a, b, g in triples)
    # Complete: an independent walk over the grid, in hundredths.
    numbers = range(100, 125, 5)
    walk = [
        (a, b, g) for a in range(100, 215, 5) for b in numbers for g in numbers
        if abs(a * b**2 * g**2 - 2 * 10**10) <= 10**9
    ]  # fmt: skip
    assert sorted(walk) == sorted((round(100 * a), round(100 * b), round(100 * g)) for a, b, g in triples)


@pytest.mark.parametrize("phi", [3, 5])
def test_multiply_adds_grow_with_the_power(phi: int) -> None:
    space, arch = EfficientNet(), from_coefficients(ALPHA, BETA, GAMMA)
    with torch.device("meta"):
        base = count_macs(space.network(PUBLISHED["b0"]), space.input_shape)
        macs = count_macs(replace(space, phi=phi).build(arch), space.input_shape)
    # Repeats are rounded up, which adds some.
    assert 1 < macs / base / (ALPHA * BETA**2 * GAMMA**2) ** phi < 1.25


def test_compound_scaling_is_the_papers() -> None:
    arch = from_coefficients(ALPHA, BETA, GAMMA)
    assert EfficientNet().canonical(arch) == arch
    assert compound(arch, 0) == (1, 1, 1)
    assert compound(arch, 1) == (ALPHA, BETA, GAMMA)
    assert compound(arch, 3) == pytest.approx((1.728, 1.331, 1.520875))
    # B2 is what the coefficients give for phi = 1, at 258 instead of 260 pixels.
    with torch.device("meta"):
        assert count_params(EfficientNet().build(arch)) == TORCHVISION["b2"][0]
        assert EfficientNet().build(arch)[0].side == 258  # type: ignore[index]
        assert count_params(EfficientNet(phi=0).build(arch)) == TORCHVISION["b0"][0]
    with pytest.raises(SpaceError, match="phi must be at least 0"):
        compound(arch, -1)
    with pytest.raises(SpaceError, match="no member of the family 'grid'"):
        compound({"variant": "b0"}, 1)


def test_phi_is_a_size_of_the_same_space() -> None:
    small, large = EfficientNet(), EfficientNet(phi=2)
    assert list(small.decisions) == list(large.decisions)
    arch = from_coefficients(ALPHA, BETA, GAMMA)
    assert large.scaling(arch) == pytest.approx((1.44, 1.21, 1.3225))
    blocks = [sum(type(m).__name__ == "MBConv" for m in s.build(arch)) for s in (small, large)]  # type: ignore[attr-defined]
    # ceil(1.2 n) and ceil(1.44 n) over the stages' 1, 2, 2, 3, 3, 4, 1.
    assert blocks == [2 + 3 + 3 + 4 + 4 + 5 + 2, 2 + 3 + 3 + 5 + 5 + 6 + 2]


def test_rounding_is_the_published() -> None:
    # Multiples of 8, never a tenth less: 1.4 * 24 is 33.6, 1.1 * 24 is 26.4, 0.1 * 105 is 10.5.
    assert [round_filters(*pair) for pair in ((24, 1.4), (24, 1.1), (105, 0.1), (32, 1.0))] == [32, 24, 16, 32]
    assert [round_repeats(*pair) for pair in ((4, 1.2), (1, 1.0), (10, 1.1), (3, 1.4))] == [5, 1, 11, 5]


def test_stochastic_depth_drops_examples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop = StochasticDepth(0.2)
    out = drop(torch.ones(10_000, 2, 1, 1))
    assert set(out.flatten().tolist()) == {0.0, 1.25}
    assert torch.equal(out[:, 0], out[:, 1])
    assert out.mean() == pytest.approx(1, abs=0.02)
    assert torch.equal(drop.eval()(torch.ones(3, 2)), torch.ones(3, 2))


def test_probabilities_of_dropping_grow_linearly() -> None:
    model = replace(SMALL, drop_prob=0.4).network(PUBLISHED["b0"])
    rates = [m.drop_prob for m in model.modules() if isinstance(m, StochasticDepth)]
    assert rates == pytest.approx([0.4 * i / 16 for i in range(16)])


def test_the_input_is_added_where_the_shape_stays() -> None:
    model = EfficientNet(width=0.5).network(PUBLISHED["b0"])
    blocks = [m for m in model.modules() if type(m).__name__ == "MBConv"]
    assert [i for i, block in enumerate(blocks) if not block.residual] == [0, 1, 3, 5, 8, 11, 15]
    block = blocks[2].eval()
    nn.init.zeros_(block.body[-1].weight)  # type: ignore[index, union-attr]
    nn.init.zeros_(block.body[-1].bias)  # type: ignore[index, union-attr]
    x = torch.randn(1, 16, 4, 4)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (9, 33)])
def test_takes_images_of_any_size(height: int, width: int) -> None:
    space = replace(SMALL, input_shape=(1, height, width))
    assert space.network(PUBLISHED["b1"]).eval()(torch.zeros(1, 1, height, width)).shape == (1, 3)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_classes": 0}, "at least 1"),
        ({"resolution": 0}, "at least 1"),
        ({"family": "b0"}, "family must be one of grid, published"),
        ({"phi": -1.0}, "phi and tolerance"),
        ({"step": 0.0}, "step and width > 0"),
        ({"drop_prob": 1.0}, r"in \[0, 1\)"),
        ({"tolerance": 0.0}, "no alpha >= 1"),
        ({"highest": 1.5}, r"for beta 1\.\d+ and gamma 1\.\d+ no alpha"),
        ({"phi": math.nan}, "phi and tolerance"),
    ],
)
def test_refuses_impossible_sizes(sizes: dict[str, float], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        EfficientNet(**sizes)  # type: ignore[arg-type]
