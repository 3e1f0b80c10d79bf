import torch
from torch import nn

from raynas.nn.fast.mixed_operation import mixed
from tests.nn.fast.operations import C


def test_average_pooling_is_differentiable_after_the_inference_mode() -> None:
    pool, weights = nn.AvgPool2d(3, 1, 1, count_include_pad=False), torch.ones(1, dtype=torch.float64)
    x = torch.randn(2, C, 11, 13, dtype=torch.float64, requires_grad=True)
    with torch.inference_mode():
        mixed([pool], weights, x)
    (grad,) = torch.autograd.grad(mixed([pool], weights, x).sum(), x)
    torch.testing.assert_close(grad, torch.autograd.grad(pool(x).sum(), x)[0])
