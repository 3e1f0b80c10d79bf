from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from raynas.nn.fast.same_convolution import same_conv2d


@pytest.mark.parametrize("side", [1, 2, 3, 4, 8, 9])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 1, 6), (2, 1, 6), (1, 1, 1), (1, 2, 6), (2, 1, 3)])
def test_equals_convolution_and_its_gradients(side: int, kernel: int, stride: int, dilation: int, groups: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, side, side + 1, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 6 // groups, kernel, kernel, generator=generator, dtype=torch.float64, requires_grad=True)
    out = same_conv2d(x, weight, None, stride, dilation, groups)
    expected = functional.conv2d(x, weight, None, stride, dilation * (kernel // 2), dilation, groups)
    torch.testing.assert_close(out, expected)
    upstream = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad((out * upstream).sum(), (x, weight)),
        torch.autograd.grad((expected * upstream).sum(), (x, weight)),
    )


def test_the_rim_of_a_kernel_that_no_pixel_meets_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = []
    conv2d = functional.conv2d

    def watched(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
        kernels.append(weight.shape[2])
        out: Tensor = conv2d(x, weight, *rest)
        return out

    monkeypatch.setattr(functional, "conv2d", watched)
    for side in (1, 2, 3, 4):
        same_conv2d(torch.ones(1, 2, side, side), torch.ones(2, 2, 7, 7), None, 1, 1, 1)
    assert kernels == [1, 3, 5, 7]
