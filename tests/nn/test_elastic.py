from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.errors import SpaceError
from raynas.nn import (
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticLinear,
    ElasticResize,
    ElasticSqueezeExcite,
    ModelSpace,
    Repeat,
    Size,
    Supernet,
    ratio,
    recalibrate,
)
from raynas.nn.elastic import ElasticLayer, make_divisible
from tests.nn.elastic_models import images, layer_of, open_width, supernet_of


class TestSize:
    @pytest.mark.parametrize("options", [(), (1, 1), (0,), (-1, 2), ("a",), (2, 2.0)])
    def test_needs_different_positive_numbers(self, options: tuple[int, ...]) -> None:
        with pytest.raises(SpaceError, match="different positive numbers"):
            Size(options)

    def test_is_no_module(self) -> None:
        with pytest.raises(SpaceError, match="number of an elastic layer"):
            Supernet(ModelSpace(lambda: nn.Sequential(Size((1, 2))), input_shape=(1,)))(torch.zeros(1, 1), {"0": 1})

    def test_values(self) -> None:
        assert [Size((3, 5)).value(option, 8) for option in (3, 5)] == [3, 5]
        assert [ratio((0.5, 1.5, 6), divisor=4).value(option, 16) for option in (0.5, 1.5, 6)] == [8, 24, 96]
        assert Size((1, 2), of=lambda option, n_in: 10 * int(option) + n_in).value(2, 3) == 23

    @pytest.mark.parametrize(
        ("value", "divisor", "expected"), [(18, 8, 24), (20, 8, 24), (16.9, 8, 16), (1, 8, 8), (30, 8, 32), (7, 1, 7)]
    )
    def test_made_divisible_never_a_tenth_less(self, value: float, divisor: int, expected: int) -> None:
        assert make_divisible(value, divisor) == expected
        assert make_divisible(value, divisor) >= 0.9 * value

    def test_the_same_size_may_stand_for_two_arguments(self) -> None:
        shared = Size((3, 5), label="both")
        space = ModelSpace(lambda: nn.Sequential(ElasticConv2d(4, shared, shared)), input_shape=(4, 8, 8))
        assert [d.name for d in space.decisions] == ["both"]
        conv = space.build(space.canonical({"both": 5}))[0]  # type: ignore[index]
        assert (conv.out_channels, conv.kernel_size) == (5, (5, 5))


class TestWidth:
    def test_more_channels_than_announced_are_refused(self) -> None:
        supernet = supernet_of(lambda: ElasticConv2d(4, open_width()), lambda: ElasticBatchNorm2d(5))
        with pytest.raises(SpaceError, match="6 channels reach an ElasticBatchNorm2d that was made for at most 5"):
            supernet(images(), {"width": 6})

    def test_one_layer_at_two_places_needs_one_width(self) -> None:
        class Twice(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = ElasticConv2d(4, open_width())
                self.norm = ElasticBatchNorm2d(8)

            def forward(self, x: Tensor) -> Tensor:
                out: Tensor = self.norm(self.conv(self.norm(x)))
                return out

        space = ModelSpace(Twice, input_shape=(4, 8, 8))
        arch = {"width": max(space.decisions[0].options)}
        with pytest.raises(SpaceError, match="4 and 6 channels reach the same ElasticBatchNorm2d"):
            space.build(arch)


class TestExtract:
    def space(self) -> Supernet:
        return supernet_of(
            lambda: ElasticConv2d(4, open_width(), Size((3, 5), "kernel"), bias=True), lambda: ElasticBatchNorm2d(6)
        )

    def test_shared_weights_are_trained_with_the_supernet(self) -> None:
        supernet = self.space()
        subnet = supernet.extract({"width": 4, "kernel": 5}, copy_weights=False)
        with torch.no_grad():
            subnet[0].weight.fill_(7)  # type: ignore[index]
        weight = layer_of(supernet).shared.weight
        assert isinstance(weight, Tensor)
        assert (weight[:4] == 7).all() and (weight[4:] != 7).all()

    def test_statistics_are_never_shared(self) -> None:
        supernet = self.space()
        subnet = supernet.extract({"width": 4, "kernel": 5}, copy_weights=False)
        before = {name: tensor.clone() for name, tensor in supernet.named_buffers()}
        recalibrate(subnet, [images()])
        assert subnet[1].running_mean.any()  # type: ignore[index]
        assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.named_buffers())

    def test_mode_and_frozen_weights_stay(self) -> None:
        supernet = self.space().eval()
        layer_of(supernet).requires_grad_(False)
        subnet = supernet.extract({"width": 2, "kernel": 3})
        assert not subnet[1].training  # type: ignore[index]
        assert [p.requires_grad for p in subnet.parameters()] == [False, False, True, True]

    def test_a_layer_that_is_never_reached(self) -> None:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.used = ElasticConv2d(4, open_width())
                self.unused = ElasticBatchNorm2d(6)

            def forward(self, x: Tensor) -> Tensor:
                out: Tensor = self.used(x)
                return out

        space = ModelSpace(Net, input_shape=(4, 8, 8))
        with pytest.raises(SpaceError, match="'unused' is never reached"):
            space.build(space.canonical({"width": 2}))
        with pytest.raises(SpaceError, match="never reached"):
            Supernet(space).extract({"width": 2})


class Mixed(nn.Module):
    """Elastic layers among plain ones whose shapes the search for widths has to get right."""

    def __init__(self) -> None:
        super().__init__()
        self.resize = ElasticResize(3, Size((9, 16), "side"))
        self.stem = ElasticConv2d(3, open_width(), Size((3, 5), "kernel"), stride=2)
        self.norm, self.act = ElasticBatchNorm2d(6), nn.Hardswish()
        self.body = Repeat(lambda i: ElasticConv2d(6, None, 3, group_width=1), 0, 2, label="depth")
        self.attention = ElasticSqueezeExcite(6, divisor=1)
        self.pool = nn.MaxPool2d(2)
        self.hidden, self.head = ElasticLinear(12 * 16, ratio((0.5, 1), "hidden", 1)), ElasticLinear(192, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.attention(self.body(self.act(self.norm(self.stem(self.resize(x)))))))
        # Both dimensions matter to the width of the next layer.
        x = torch.cat([x, x + 1], dim=1).flatten(1)
        out: Tensor = self.head(self.hidden(x))
        return out


class TestWidths:
    def widths_by_running(self, supernet: Supernet, arch: Mapping[str, Option]) -> dict[str, int]:
        """What comes into each elastic layer in a pass that computes everything."""
        seen: dict[str, int] = {}

        def note(name: str, x: Tensor, layer: nn.Module) -> None:
            seen[name] = x.shape[-1] if isinstance(layer, ElasticLinear) else x.shape[1]

        hooks = [
            layer.register_forward_pre_hook(lambda layer, inputs, name=name: note(name, inputs[0], layer))
            for name, layer in supernet.net.named_modules()
            if isinstance(layer, ElasticLayer)
        ]
        with torch.no_grad():
            supernet(supernet.space.example_input(), arch)
        for hook in hooks:
            hook.remove()
        return seen

    def test_are_those_of_a_pass_that_computes(self) -> None:
        space = ModelSpace(Mixed, input_shape=(3, 16, 16))
        supernet = Supernet(space).eval()
        archs = list(space.enumerate())
        assert len(archs) == 2 * 3 * 2 * 3 * 2
        for arch in archs:
            assert space.elastic_widths(arch) == self.widths_by_running(supernet, arch), arch

    def test_a_pass_that_fails_names_the_network(self) -> None:
        def model() -> nn.Module:
            return nn.Sequential(ElasticConv2d(4, open_width()), ElasticConv2d(6, None, 3, group_width=3))

        space = ModelSpace(model, input_shape=(4, 8, 8))
        space.build(space.canonical({"width": 6}))
        with pytest.raises(SpaceError, match="4 channels cannot be split into groups of 3"):
            space.build(space.canonical({"width": 4}))


class Reading(nn.Module):
    """Branches on a number in a tensor, which the meta device does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = ElasticLinear(4, Size((2, 3))), ElasticLinear(3, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x)
        out: torch.Tensor = self.second(y) if float(y.detach().sum()) < 1e9 else y
        return out


def test_widths_are_found_with_values_where_meta_cannot() -> None:
    space = ModelSpace(Reading, input_shape=(4,))
    space.check()
    before = torch.get_rng_state()
    assert space.elastic_widths({"first.out_features": 2}) == {"first": 4, "second": 2}
    assert torch.equal(torch.get_rng_state(), before)
    supernet = Supernet(space).eval()
    x = space.example(3)
    for arch in space.enumerate():
        torch.testing.assert_close(x.call(supernet.extract(arch)), supernet(x, arch))
