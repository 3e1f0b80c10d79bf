"""Multiply-adds module by module."""

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import RaynasError
from raynas.metrics import count_macs
from raynas.metrics.module_macs import macs_by_module


class Shared(nn.Module):
    """A layer that runs twice, and a product of the model's own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(self.inner(x))
        return y @ y.mT


class NeedsValues(Shared):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum().item() < 1e9 else x


@pytest.mark.parametrize("cls", [Shared, NeedsValues])
def test_an_operation_counts_for_the_innermost_module(cls: type[nn.Module]) -> None:
    model = cls()
    found = macs_by_module(model, (3, 4))
    assert found == {"": 3 * 3 * 4, "inner": 0, "inner.0": 2 * 3 * 4 * 4, "inner.1": 0}
    assert sum(found.values()) == count_macs(model, (3, 4))


def test_the_model_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(4, 2), nn.Dropout())
    macs_by_module(model, (4,))
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    with pytest.raises(RaynasError, match="shapes cannot be multiplied"):
        macs_by_module(model, (5,))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert model(torch.zeros(1, 4)).shape == (1, 2)
