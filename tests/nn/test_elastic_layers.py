import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.errors import SpaceError
from raynas.nn import (
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticLinear,
    ElasticResize,
    ElasticSqueezeExcite,
    Mixture,
    ModelSpace,
    Size,
    Supernet,
)
from raynas.nn.layers import Resize, SqueezeExcite
from tests.nn.elastic_models import WIDTHS, images, layer_of, open_width, supernet_of


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
