from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raynas.nn.fast.depthwise import depthwise_conv2d, is_dense_after_subsampling, suits

KERNELS = ((3, 3), (5, 5), (1, 7), (7, 3), (5, 1))


def both(
    stride: int, dilation: int, kernel: tuple[int, int], padding: tuple[int, int], sides: tuple[int, int]
) -> list[list[Tensor]]:
    """Output and gradients, of PyTorch's convolution and of ours."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, *sides, dtype=torch.float64, generator=generator, requires_grad=True)
    weight = torch.randn(4, 1, *kernel, dtype=torch.float64, generator=generator, requires_grad=True)
    theirs = F.conv2d(x, weight, None, stride, padding, dilation, 4)
    ours = depthwise_conv2d(x, weight, stride=(stride, stride), padding=padding, dilation=(dilation, dilation))
    grad = torch.randn(theirs.shape, dtype=torch.float64, generator=generator)
    return [[out, *torch.autograd.grad(out, (x, weight), grad)] for out in (theirs, ours)]


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_output_and_gradients_are_those_of_conv2d(stride: int, dilation: int) -> None:
    assert_equal_to_plain_sum = 0
    for kernel, sides in product(KERNELS, ((8, 8), (9, 12), (7, 7), (16, 5))):
        same = (kernel[0] // 2 * dilation, kernel[1] // 2 * dilation)
        for padding in (same, (0, 0), (1, 2)):
            if any(
                s + 2 * p < d for s, p, d in zip(sides, padding, [dilation * (k - 1) + 1 for k in kernel], strict=True)
            ):
                continue
            for theirs, ours in zip(*both(stride, dilation, kernel, padding, sides), strict=True):
                torch.testing.assert_close(ours, theirs)
            assert_equal_to_plain_sum += 1
    assert assert_equal_to_plain_sum > 20


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (1, 2), (2, 1)])
def test_gradcheck_of_both_orders(stride: int, dilation: int) -> None:
    x = torch.randn(2, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 1, 3, 5, dtype=torch.float64, requires_grad=True)

    def run(x: Tensor, weight: Tensor) -> Tensor:
        padding = (dilation, 2 * dilation)
        return depthwise_conv2d(x, weight, stride=(stride, stride), padding=padding, dilation=(dilation, dilation))

    assert torch.autograd.gradcheck(run, (x, weight))
    assert torch.autograd.gradgradcheck(run, (x, weight))
    assert torch.autograd.gradgradcheck(lambda x: run(x, weight.detach()), (x,))  # Here x is not kept.


def test_keeps_the_input_only_for_the_weight() -> None:
    kept: list[tuple[int, ...]] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tuple(tensor.shape))
        return tensor

    x = torch.randn(2, 4, 6, 6, requires_grad=True)
    weight = torch.randn(4, 1, 3, 3)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        depthwise_conv2d(x, weight, padding=(1, 1))
        assert kept == [(4, 1, 3, 3)]
        depthwise_conv2d(x, weight.requires_grad_(), padding=(1, 1))
    assert (2, 4, 6, 6) in kept


def test_an_input_in_any_order_gives_an_output_in_channels_last_order() -> None:
    for x in (torch.randn(2, 4, 6, 6), torch.randn(2, 6, 6, 4).permute(0, 3, 1, 2)):
        out = depthwise_conv2d(x, torch.randn(4, 1, 3, 3), padding=(1, 1))
        assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("conv", "expected"),
    [
        (nn.Conv2d(4, 4, 3, groups=4, bias=False), True),
        (nn.Conv2d(4, 4, 3, groups=4), False),
        (nn.Conv2d(4, 4, 3, groups=2, bias=False), False),
        (nn.Conv2d(4, 8, 3, groups=4, bias=False), False),
        (nn.Conv2d(1, 1, 3, bias=False), False),
        (nn.Conv2d(4, 4, 3, groups=4, bias=False, padding="same"), False),
        (nn.Conv2d(4, 4, 3, groups=4, bias=False, padding=1, padding_mode="circular"), False),
        (nn.Identity(), False),
    ],
)
def test_suits_depthwise_convolutions_only(conv: nn.Module, expected: bool) -> None:
    assert suits(conv, torch.randn(2, 4, 6, 6)) is expected
    assert not suits(conv, torch.randn(2, 4, 6, 6, device="meta"))


def test_equal_stride_and_dilation_read_every_nth_pixel() -> None:
    conv = nn.Conv2d(4, 4, 5, stride=2, padding=4, dilation=2, groups=4, bias=False)
    assert is_dense_after_subsampling(conv)
    x = torch.randn(2, 4, 9, 8)
    dense = depthwise_conv2d(x[:, :, ::2, ::2], conv.weight, padding=(2, 2))
    torch.testing.assert_close(dense, conv(x))
    assert not is_dense_after_subsampling(nn.Conv2d(4, 4, 3, stride=2, padding=1, dilation=2, groups=4))
    assert not is_dense_after_subsampling(nn.Conv2d(4, 4, 3, padding=1, groups=4))
