from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from raynas.nn import operations


@pytest.mark.parametrize("side", [6, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    "make",
    [
        partial(operations.relu_conv_bn, 4, 4, 3),
        partial(operations.dilated_separable, 4, 5),
        partial(operations.separable_twice, 4, 3),
        partial(operations.average_pool, 3),
        partial(operations.max_pool, 5),
    ],
)
def test_strides_round_half_of_a_side_up(make: Callable[..., nn.Module], stride: int, side: int) -> None:
    module = make(stride=stride)
    assert module(torch.randn(2, 4, side, side)).shape == (2, 4, -(-side // stride), -(-side // stride))
    if isinstance(module, nn.Sequential):
        assert isinstance(module[0], nn.ReLU)


@pytest.mark.parametrize("side", [6, 7])
def test_factorized_reduce_halves_and_uses_every_pixel(side: int) -> None:
    torch.manual_seed(0)
    module = operations.factorized_reduce(3, 5, affine=False).eval()
    x = (torch.rand(1, 3, side, side) + 1).requires_grad_()
    out = module(x)
    assert out.shape == (1, 5, -(-side // 2), -(-side // 2))
    out.sum().backward()
    assert x.grad is not None
    used = x.grad.abs().sum((0, 1)) > 0
    assert bool(used[::2, ::2].all()) and bool(used[1::2, 1::2].all())


def test_average_pool_leaves_out_the_padding() -> None:
    torch.testing.assert_close(operations.average_pool(3)(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 4, 4))


@pytest.mark.parametrize("affine", [True, False])
def test_affine_decides_on_the_weights_of_batch_norm(affine: bool) -> None:
    for module in (operations.relu_conv_bn(2, 2, 1, affine=affine), operations.separable_twice(2, 3, affine=affine)):
        norms = [m for m in module if isinstance(m, nn.BatchNorm2d)]
        assert norms and all(norm.affine == affine for norm in norms)
