"""Parameters without gradients for the time of a block."""

import pytest
from torch import nn

from raynas.oneshot.differentiable.frozen import frozen


def test_parameters_are_frozen_within_the_block_and_as_before_after_it() -> None:
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    with pytest.raises(ValueError), frozen(layer.parameters()):
        assert not any(parameter.requires_grad for parameter in layer.parameters())
        raise ValueError
    assert layer.weight.requires_grad and not layer.bias.requires_grad
