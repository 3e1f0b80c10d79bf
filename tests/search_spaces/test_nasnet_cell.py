"""The operations of NASNet's cells."""

import pytest
import torch
from torch import nn

from raynas.search_spaces.nasnet_cell import OPERATIONS


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("operation", list(OPERATIONS))
def test_operations_keep_channels_and_halve_upwards(operation: str, stride: int) -> None:
    module = OPERATIONS[operation](4, stride)
    side = 5 if stride == 1 else 3
    assert module(torch.randn(2, 4, 5, 5)).shape == (2, 4, side, side)
    if any(isinstance(m, nn.ReLU) for m in module.modules()):
        assert isinstance(module, nn.Sequential)
        assert isinstance(module[0], nn.ReLU)
        assert not module[0].inplace


@pytest.mark.parametrize(
    ("operation", "convs"),
    [
        ("conv_1x1", 16),
        ("conv_3x3", 9 * 16),
        ("dil_conv_3x3", 9 * 16),
        ("conv_1x3_3x1", 6 * 16),
        ("conv_1x7_7x1", 14 * 16),
        ("sep_conv_7x7", 2 * (49 * 4 + 16)),
        ("max_pool_5x5", 0),
    ],
)
def test_operations_have_the_weights_of_their_kernels(operation: str, convs: int) -> None:
    weights = [m.weight.numel() for m in OPERATIONS[operation](4, 1).modules() if isinstance(m, nn.Conv2d)]
    assert sum(weights) == convs
