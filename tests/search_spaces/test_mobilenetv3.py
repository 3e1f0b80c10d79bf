from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from raynas.errors import SpaceError
from raynas.metrics import count_macs, count_params
from raynas.nn import Supernet
from raynas.nn.layers import SqueezeExcite
from raynas.search_spaces.mobilenetv3 import MobileNetV3, mobilenet_v3_large

SMALL = MobileNetV3(
    input_shape=(1, 16, 16),
    n_classes=3,
    widths=(0.5, 1.0),
    depths=(1, 2),
    kernels=(3, 5),
    expansions=(1, 2),
    extra_expansions=(1.5,),
    search_squeeze_excite=True,
    search_activation=True,
    channels=(4, 4, 6, 8, 8, 10),
    head_channels=(12, 16),
    divisor=2,
)

# Howard et al., arXiv:1905.02244, table 1: kernel, inside, output, squeeze-excite, activation, stride.
LARGE = [
    (3, 16, 16, False, "RE", 1),
    (3, 64, 24, False, "RE", 2),
    (3, 72, 24, False, "RE", 1),
    (5, 72, 40, True, "RE", 2),
    (5, 120, 40, True, "RE", 1),
    (5, 120, 40, True, "RE", 1),
    (3, 240, 80, False, "HS", 2),
    (3, 200, 80, False, "HS", 1),
    (3, 184, 80, False, "HS", 1),
    (3, 184, 80, False, "HS", 1),
    (3, 480, 112, True, "HS", 1),
    (3, 672, 112, True, "HS", 1),
    (5, 672, 160, True, "HS", 2),
    (5, 960, 160, True, "HS", 1),
    (5, 960, 160, True, "HS", 1),
]


def large() -> nn.Module:
    with torch.device("meta"):
        return MobileNetV3().build(mobilenet_v3_large())


def blocks(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if type(module).__name__ == "InvertedResidual"]


def test_costs_of_large_are_torchvisions() -> None:
    # torchvision 0.21, MobileNet_V3_Large_Weights: "num_params": 5483032, "_ops": 0.217.
    assert count_params(large()) == 5_483_032
    assert round(count_macs(large(), (3, 224, 224)) / 1e9, 3) == 0.217


def test_large_is_the_published_table() -> None:
    model = large()
    table = []
    for block in blocks(model):
        convs = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
        depthwise = next(m for m in convs if m.groups > 1)
        squeezes = any(isinstance(m, SqueezeExcite) for m in block.modules())
        kind = "HS" if any(isinstance(m, nn.Hardswish) for m in block.modules()) else "RE"
        row = (depthwise.kernel_size[0], depthwise.out_channels, convs[-1].out_channels, squeezes, kind)
        table.append((*row, depthwise.stride[0]))
    assert table == LARGE
    # With a squeeze-excite of a quarter of the inside, made divisible by 8 (torchvision's numbers).
    hidden = [m.squeeze.out_channels for m in model.modules() if isinstance(m, SqueezeExcite)]
    assert hidden == [24, 32, 32, 120, 168, 168, 240, 240]
    # Residual wherever neither stride nor width changes.
    widths = [16, *(row[2] for row in LARGE)]
    same = [row[5] == 1 and widths[i] == widths[i + 1] for i, row in enumerate(LARGE)]
    assert [block.residual for block in blocks(model)] == same


def test_costs_of_the_narrow_one_are_near_the_papers() -> None:
    # Howard et al., table 3: V3-Large 0.75 has 155 M multiply-adds and 4.0 M parameters; they leave the hidden linear
    # layer at 1280, which here is 0.75 * 1707.
    space = MobileNetV3(widths=(0.75, 1.0), head_channels=(960, 1707))
    with torch.device("meta"):
        model = space.build(space.canonical({**mobilenet_v3_large(space), "width": 0.75}))
    assert count_params(model) / 1e6 == pytest.approx(4.0, abs=0.05)
    assert count_macs(model, (3, 224, 224)) / 1e6 == pytest.approx(155, rel=0.02)


def test_large_is_a_member_however_much_is_searched() -> None:
    space = replace(MobileNetV3(), search_squeeze_excite=True, search_activation=True)
    arch = mobilenet_v3_large(space)
    assert arch["stage_0.activation"] == "relu" and arch["stage_4.squeeze_excite"] == "yes"
    with torch.device("meta"):
        assert count_params(space.build(arch)) == 5_483_032
    with pytest.raises(SpaceError, match=r"'stage_2\.1\.expansion' cannot be 2\.5"):
        mobilenet_v3_large(MobileNetV3(extra_expansions=()))


def test_has_the_published_size() -> None:
    published = MobileNetV3(widths=(1.0,), resolutions=(224,), extra_expansions=())
    # Cai et al., arXiv:1908.09791, section 3.2: ((3*3)^2 + (3*3)^3 + (3*3)^4)^5, "roughly 2 * 10^19".
    assert published.size == (9**2 + 9**3 + 9**4) ** 5
    fine_stage = 9 * 15 + 9 * 15**2 + 9 * 15**3
    assert MobileNetV3().size == (9**2 + 9**3 + 9**4) ** 4 * fine_stage * 4 * 2
    assert f"{MobileNetV3().size:.1e}" == "7.7e+20"
    assert replace(published, search_squeeze_excite=True, search_activation=True).size == published.size * 4**5


def test_resolutions_follow_the_image() -> None:
    assert MobileNetV3().sides == (128, 160, 192, 224)
    assert MobileNetV3(input_shape=(3, 32, 48)).sides == (18, 23, 27, 32)
    assert MobileNetV3(input_shape=(3, 1, 1)).sides == (1,)
    assert MobileNetV3(resolutions=(96, 64)).sides == (96, 64)


def test_every_decision_changes_the_network() -> None:
    # Large enough that the last stage's images are larger than the smallest kernel.
    space = replace(SMALL, input_shape=(1, 128, 128), resolutions=(96, 128), dropout=0.0)
    last = {d.name: d.options[-1] for d in space.decisions}
    torch.manual_seed(0)
    net, x = Supernet(space), torch.randn(4, 1, 128, 128)
    for decision in space.decisions:
        with torch.no_grad():
            outputs = [net(x, {**last, decision.name: option}) for option in decision.options]
        assert all(not torch.equal(outputs[0], other) for other in outputs[1:]), decision.name


def test_blocks_that_do_not_exist_decide_nothing() -> None:
    names = {d.name: d for d in MobileNetV3().decisions}
    for stage, index in product(range(5), range(4)):
        expected = {} if index < 2 else {f"stage_{stage}.depth": tuple(range(index + 1, 5))}
        assert {k: tuple(v) for k, v in names[f"stage_{stage}.{index}.kernel"].active_if.items()} == expected
    assert list(names["stage_2.1.expansion"].options) == [2.3, 2.5, 3, 4, 6]
    assert list(names["stage_2.0.expansion"].options) == list(names["stage_3.1.expansion"].options) == [3, 4, 6]


def test_width_is_that_of_the_whole_network() -> None:
    space = MobileNetV3()
    with torch.device("meta"):
        model = space.build({**mobilenet_v3_large(), "width": 1.2})
    outputs = [[m for m in block.modules() if isinstance(m, nn.Conv2d)][-1].out_channels for block in blocks(model)]
    # Cai et al.'s code for width 1.2: make_divisible(1.2 * width).
    assert sorted(set(outputs)) == [24, 32, 48, 96, 136, 192]
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(1152, 1536), (1536, 1000)]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (9, 17), (33, 20)])
def test_takes_images_of_any_size(height: int, width: int) -> None:
    space = replace(SMALL, input_shape=(1, height, width))
    arch = space.canonical({d.name: d.options[-1] for d in space.decisions})
    assert space.build(arch).eval()(torch.zeros(1, 1, height, width)).shape == (1, 3)


def test_building_costs_no_forward_pass() -> None:
    space = MobileNetV3()
    arch = mobilenet_v3_large()
    space.build(arch)  # What is found once per space.

    ops: list[str] = []

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            ops.append(str(op))
            return op(*args, **(kwargs or {}))

    with torch.device("meta"), Recorder():
        space.elastic_widths(arch)
    # Its widths come from a pass that computes nothing; one that does takes ten times as long as the layers.
    assert not [op for op in ops if "conv" in op]
    with torch.device("meta"), Recorder():
        space.build(arch)(torch.zeros(1, *space.input_shape))
    assert [op for op in ops if "conv" in op]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_classes": 0}, "at least 1"),
        ({"input_shape": (3, 32)}, "at least 1"),
        ({"depths": (0, 2)}, "at least 1"),
        ({"depths": (3, 2)}, "low <= high"),
        ({"channels": (16, 24)}, "stem and of 5 stages"),
        ({"kernels": (3, 4)}, "must be odd"),
        ({"kernels": ()}, "different positive numbers"),
        ({"widths": (1.0, 1.0)}, "different positive numbers"),
        ({"expansions": (0,)}, "different positive numbers"),
        ({"extra_expansions": (3,)}, "different positive numbers"),
        ({"resolutions": ()}, "different positive numbers"),
        ({"dropout": 1.0}, r"in \[0, 1\)"),
    ],
)
def test_refuses_impossible_sizes(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        MobileNetV3(**sizes)  # type: ignore[arg-type]
