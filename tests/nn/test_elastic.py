from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.core.architecture import Option
from raynas.errors import SpaceError
from raynas.nn import (
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticLinear,
    ElasticResize,
    ElasticSqueezeExcite,
    Mixture,
    ModelSpace,
    Repeat,
    Size,
    Supernet,
    ratio,
    recalibrate,
)
from raynas.nn.elastic import ElasticLayer, make_divisible
from raynas.nn.layers import Resize, SqueezeExcite

WIDTHS = (2, 4, 6)


def supernet_of(*layers: Callable[[], nn.Module], shape: tuple[int, ...] = (4, 8, 8)) -> Supernet:
    """The supernet of layers in a row; layer i is ``net[i]``."""
    torch.manual_seed(0)
    return Supernet(ModelSpace(lambda: nn.Sequential(*(make() for make in layers)), input_shape=shape))


def images(*shape: int) -> Tensor:
    return torch.randn(*(shape or (3, 4, 8, 8)), generator=torch.Generator().manual_seed(1))


def layer_of(supernet: Supernet, i: int = 0) -> ElasticLayer:
    layer = supernet.net[i]  # type: ignore[index]
    assert isinstance(layer, ElasticLayer)
    return layer


def open_width(label: str = "width") -> Size:
    return Size(WIDTHS, label)


class TestSize:
    @pytest.mark.parametrize("options", [(), (1, 1), (0,), (-1, 2), ("a",), (2, 2.0)])
    def test_needs_different_positive_numbers(self, options: tuple[int, ...]) -> None:
        with pytest.raises(SpaceError, match="different positive numbers"):
            Size(options)

    def test_is_no_module(self) -> None:
        with pytest.raises(SpaceError, match="number of an elastic layer"):
            Supernet(ModelSpace(lambda: nn.Sequential(Size((1, 2))), input_shape=(1,)))({}, {"0": 1})

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
    @pytest.mark.parametrize("width", WIDTHS)
    def test_convolutions_and_linear_layers_are_slices(self, width: int) -> None:
        supernet = supernet_of(
            lambda: ElasticConv2d(4, open_width(), 3, bias=True),
            lambda: ElasticConv2d(6, None, 3),
            lambda: nn.AdaptiveAvgPool2d(1),
            nn.Flatten,
            lambda: ElasticLinear(6, Size(WIDTHS, "hidden")),
            lambda: ElasticLinear(6, 3, bias=False),
        )
        first, second, hidden, last = (layer_of(supernet, i).shared for i in (0, 1, 4, 5))
        assert isinstance(first, nn.Conv2d) and isinstance(second, nn.Conv2d)
        assert isinstance(hidden, nn.Linear) and isinstance(last, nn.Linear) and first.bias is not None
        x = functional.conv2d(images(), first.weight[:width], first.bias[:width], padding=1)
        x = functional.conv2d(x, second.weight[:width, :width], padding=1).mean((2, 3))
        x = functional.linear(x, hidden.weight[:4, :width], hidden.bias[:4])
        x = functional.linear(x, last.weight[:, :4])
        torch.testing.assert_close(supernet(images(), {"width": width, "hidden": 4}), x)

    def test_batch_norm_keeps_one_statistic_for_all_widths(self) -> None:
        supernet = supernet_of(lambda: ElasticConv2d(4, open_width()), lambda: ElasticBatchNorm2d(6, momentum=0.5))
        norm = layer_of(supernet, 1).shared
        assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None
        out = supernet(images(), {"width": 2})
        torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
        assert norm.running_mean[:2].all() and not norm.running_mean[2:].any()
        assert norm.num_batches_tracked == 1
        supernet.eval()(images(), {"width": 6})
        assert norm.num_batches_tracked == 1 and not norm.running_mean[2:].any()

    def test_statistics_are_those_of_a_plain_batch_norm(self) -> None:
        supernet = supernet_of(lambda: ElasticConv2d(4, open_width()), lambda: ElasticBatchNorm2d(6, 1e-3, 0.3))
        plain = supernet.extract({"width": 4}).train()
        for i in range(3):
            x = images() * (i + 1)
            torch.testing.assert_close(supernet(x, {"width": 4}), plain(x))
        trained, norm = supernet.extract({"width": 4})[1], plain[1]  # type: ignore[index]
        for name, tensor in norm.state_dict().items():
            torch.testing.assert_close(trained.state_dict()[name], tensor, msg=name)
        assert (norm.eps, norm.momentum) == (1e-3, 0.3)

    def test_without_affine_weights(self) -> None:
        supernet = supernet_of(lambda: ElasticConv2d(4, open_width()), lambda: ElasticBatchNorm2d(6, affine=False))
        assert [name for name, _ in supernet.extract({"width": 2}).named_parameters()] == ["0.weight"]
        assert supernet(images(), {"width": 2}).shape[1] == 2

    @pytest.mark.parametrize(("group_width", "groups"), [(1, 4), (2, 2)])
    def test_the_number_of_groups_follows_the_width(self, group_width: int, groups: int) -> None:
        supernet = supernet_of(
            lambda: ElasticConv2d(4, open_width()), lambda: ElasticConv2d(6, None, 3, group_width=group_width)
        )
        grouped = supernet.extract({"width": 4})[1]  # type: ignore[index]
        assert (grouped.in_channels, grouped.out_channels, grouped.groups) == (4, 4, groups)
        torch.testing.assert_close(supernet(images(), {"width": 4}), supernet.extract({"width": 4})(images()))

    def test_gradients_reach_only_the_slice(self) -> None:
        supernet = supernet_of(lambda: ElasticConv2d(4, open_width(), 3))
        weight = layer_of(supernet).shared.weight
        supernet(images(), {"width": 4}).sum().backward()
        assert isinstance(weight, Tensor) and weight.grad is not None
        assert weight.grad[:4].all() and not weight.grad[4:].any()

    def test_a_mixture_of_widths_masks_channels(self) -> None:
        supernet = supernet_of(lambda: ElasticConv2d(4, open_width(), 3))
        weights = torch.tensor([0.2, 0.3, 0.5], requires_grad=True)
        out, full = supernet(images(), {"width": weights}), supernet(images(), {"width": 6})
        share = torch.tensor([1.0, 1.0, 0.8, 0.8, 0.5, 0.5]).view(1, -1, 1, 1)
        torch.testing.assert_close(out, share * full)
        out = supernet(images(), {"width": Mixture(weights, active=(0, 1))})
        torch.testing.assert_close(out, torch.tensor([0.5, 0.5, 0.3, 0.3]).view(1, -1, 1, 1) * full[:, :4])
        out.sum().backward()
        assert weights.grad is not None and weights.grad[1] != 0 and weights.grad[2] == 0

    def test_a_mixture_of_linear_widths_masks_features(self) -> None:
        supernet = supernet_of(lambda: ElasticLinear(4, open_width()), shape=(4,))
        x, weights = images(3, 4), torch.tensor([0.2, 0.3, 0.5])
        share = torch.tensor([1.0, 1.0, 0.8, 0.8, 0.5, 0.5])
        torch.testing.assert_close(supernet(x, {"width": weights}), share * supernet(x, {"width": 6}))

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


class TestKernel:
    def supernet(self, transform: bool = True) -> Supernet:
        size = Size((3, 5, 7), "kernel")
        return supernet_of(lambda: ElasticConv2d(4, None, size, group_width=1, transform_kernels=transform))

    @pytest.mark.parametrize("transform", [True, False])
    @pytest.mark.parametrize("kernel", [3, 5, 7])
    def test_smaller_ones_begin_as_the_centre(self, kernel: int, transform: bool) -> None:
        supernet = self.supernet(transform)
        edge = (7 - kernel) // 2
        weight = layer_of(supernet).shared.weight
        assert isinstance(weight, Tensor)
        centre = weight[:, :, edge : 7 - edge, edge : 7 - edge]
        expected = functional.conv2d(images(), centre, padding=kernel // 2, groups=4)
        torch.testing.assert_close(supernet(images(), {"kernel": kernel}), expected)

    def test_each_is_transformed_from_the_next_larger(self) -> None:
        # Cai et al., section 3.3: the centre of 7x7 times a 25x25 matrix gives 5x5, its centre times a 9x9 one 3x3.
        supernet = self.supernet()
        state = supernet.state_dict()
        to5, to3, weight = (state[f"net.0.{n}"] for n in ("transforms.7to5", "transforms.5to3", "shared.weight"))
        assert (to5.shape, to3.shape) == ((25, 25), (9, 9))
        to5.normal_(), to3.normal_()
        five = (weight[:, :, 1:6, 1:6].reshape(4, 25) @ to5).view(4, 1, 5, 5)
        three = (five[:, :, 1:4, 1:4].reshape(4, 9) @ to3).view(4, 1, 3, 3)
        for kernel, expected in ((7, weight), (5, five), (3, three)):
            subnet = supernet.extract({"kernel": kernel})
            torch.testing.assert_close(subnet.state_dict()["0.weight"], expected)

    def test_matrices_are_trained_for_the_kernels_they_make(self) -> None:
        supernet = self.supernet()
        used = {}
        for kernel in (7, 5, 3):
            supernet.zero_grad()
            supernet(images(), {"kernel": kernel}).square().sum().backward()
            grads = {n.rpartition(".")[2]: p.grad for n, p in supernet.named_parameters() if "transforms" in n}
            used[kernel] = sorted(n for n, grad in grads.items() if grad is not None and grad.any())
        assert used == {7: [], 5: ["7to5"], 3: ["5to3", "7to5"]}

    def test_without_transformation_there_are_no_matrices(self) -> None:
        assert [name for name, _ in self.supernet(transform=False).named_parameters()] == ["net.0.shared.weight"]

    def test_a_mixture_is_one_convolution_with_the_sum_of_kernels(self) -> None:
        supernet = self.supernet()
        weights = torch.tensor([0.2, 0.3, 0.5])
        alone = [supernet(images(), {"kernel": kernel}) for kernel in (3, 5, 7)]
        expected = sum(w * out for w, out in zip(weights, alone, strict=True))
        torch.testing.assert_close(supernet(images(), {"kernel": weights}), expected)
        some = supernet(images(), {"kernel": Mixture(weights, active=(0, 1))})
        torch.testing.assert_close(some, 0.2 * alone[0] + 0.3 * alone[1])

    @pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (2, 2)])
    @pytest.mark.parametrize("side", [1, 7, 8])
    def test_the_kernel_does_not_change_the_size(self, side: int, stride: int, dilation: int) -> None:
        size = Size((1, 3, 5), "kernel")
        supernet = supernet_of(
            lambda: ElasticConv2d(4, 2, size, stride=stride, dilation=dilation), shape=(4, side, side)
        )
        for kernel in (1, 3, 5):
            assert supernet(images(1, 4, side, side), {"kernel": kernel}).shape[2:] == (-(-side // stride),) * 2

    def test_impossible_ones_are_refused(self) -> None:
        with pytest.raises(SpaceError, match="kernels must be odd"):
            ElasticConv2d(4, 4, Size((3, 4)))
        with pytest.raises(SpaceError, match="kernels must be odd"):
            ElasticConv2d(4, 4, 2)
        with pytest.raises(SpaceError, match="4 channels cannot be split into groups of 3"):
            ElasticConv2d(4, None, 3, group_width=3)

    def test_as_many_groups_must_go_out_as_come_in(self) -> None:
        def model() -> nn.Module:
            return nn.Sequential(ElasticConv2d(4, open_width()), ElasticConv2d(6, 3, group_width=2))

        space = ModelSpace(model, input_shape=(4, 8, 8))
        assert space.build(space.canonical({"width": 6}))[1].groups == 3  # type: ignore[index]
        with pytest.raises(SpaceError, match="3 into as many"):
            space.build(space.canonical({"width": 4}))


class TestSqueezeExcite:
    def test_hidden_width_follows_the_channels(self) -> None:
        supernet = supernet_of(
            lambda: ElasticConv2d(4, Size((8, 72), "width")), lambda: ElasticSqueezeExcite(72, reduction=4)
        )
        for width, hidden in ((8, 8), (72, 24)):
            subnet = supernet.extract({"width": width})
            attention = subnet[1]  # type: ignore[index]
            assert isinstance(attention, SqueezeExcite)
            assert (attention.squeeze.in_channels, attention.squeeze.out_channels) == (width, hidden)
            torch.testing.assert_close(supernet(images(), {"width": width}), subnet(images()))

    def test_weighs_channels(self) -> None:
        attention = SqueezeExcite(2, 1, nn.Sigmoid, nn.SiLU)
        x = images(3, 2, 4, 4)
        squeeze, excite = attention.squeeze, attention.excite
        hidden = functional.silu(functional.linear(x.mean((2, 3)), squeeze.weight.flatten(1), squeeze.bias))
        weights = functional.linear(hidden, excite.weight.flatten(1), excite.bias).sigmoid()
        torch.testing.assert_close(attention(x), x * weights[:, :, None, None])


class TestResize:
    def test_gives_the_side_that_was_chosen(self) -> None:
        supernet = supernet_of(lambda: ElasticResize(4, Size((4, 8, 12), "side")))
        for side in (4, 8, 12):
            out = supernet(images(), {"side": side})
            assert out.shape == (3, 4, side, side)
            assert torch.equal(out, supernet.extract({"side": side})(images()))

    def test_an_image_of_that_side_stays(self) -> None:
        x = images()
        assert Resize(8)(x) is x

    def test_smaller_is_the_mean_of_areas(self) -> None:
        torch.testing.assert_close(Resize(4)(images()), functional.avg_pool2d(images(), 2))

    def test_becomes_square(self) -> None:
        assert Resize(6)(images(2, 3, 5, 9)).shape == (2, 3, 6, 6)

    def test_resolutions_cannot_be_mixed(self) -> None:
        supernet = supernet_of(lambda: ElasticResize(4, Size((4, 8), "side")))
        with pytest.raises(SpaceError, match="cannot be mixed"):
            supernet(images(), {"side": torch.ones(2)})


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
