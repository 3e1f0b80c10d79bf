"""Second derivatives of convolution and batch norm."""

from functools import partial

import pytest
import torch
from torch import nn

from raynas.metrics.zero_cost.twice import convolve, normalise


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 1, 1), (2, 0, 1), (1, 2, 2)])
def test_derivatives_of_convolutions(groups: int, stride: int, padding: int, dilation: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 4 // groups, 3, 3, dtype=torch.float64, requires_grad=True)
    settings = ((stride, stride), (padding, padding), (dilation, dilation), groups)
    function = partial(convolve, settings=settings)
    assert torch.equal(function(x, weight), nn.functional.conv2d(x, weight, None, *settings))
    assert torch.autograd.gradcheck(function, (x, weight))
    assert torch.autograd.gradgradcheck(function, (x, weight))


@pytest.mark.parametrize("affine", [True, False])
def test_derivatives_of_batch_norm(affine: bool) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3, eps=0.1, affine=affine).double()
    if norm.affine:
        norm.weight.data.normal_()
    x = torch.randn(3, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.allclose(normalise(norm, x), norm(x))
    assert torch.autograd.gradcheck(partial(normalise, norm), (x,))
    assert torch.autograd.gradgradcheck(partial(normalise, norm), (x,))
