"""Calls of modules, and what makes two of them equal."""

import torch
from torch import nn

from raynas.metrics import count_macs
from tests.metrics.latency_table.nets import Residual, traced


def test_a_network_is_divided_into_the_calls_of_its_modules() -> None:
    model = nn.Sequential(nn.Linear(4, 8), Residual(16))
    network = traced(model, 4)
    linear, residual = network.children
    assert [call.path for call in network.all()] == ["", "0", "1", "1.body", "1.body.0", "1.body.1", "1.body.2"]
    assert residual.n_own == 1 and residual.own_elements == 8  # the sum
    assert linear.inputs == (((1, 4), torch.float32),)
    assert network.macs == count_macs(model, (4,)) and network.own_macs == residual.own_macs == 0
    assert residual.can_be_divided and not linear.can_be_divided
    assert network.weights == sum(p.numel() for p in model.parameters()) and residual.own_weights == 0


def test_equal_computations_have_equal_keys() -> None:
    first, second, other, bias = (
        traced(nn.Sequential(layer), 8)
        for layer in (nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 9), nn.Linear(8, 8, bias=False))
    )
    assert first.key == second.key
    assert len({first.key, other.key, bias.key}) == 3


def test_the_same_module_on_other_shapes_is_another_operation() -> None:
    layer = nn.Conv2d(1, 1, 3)
    assert traced(layer, 1, 5, 5).key != traced(layer, 1, 6, 6).key


def test_only_tensors_by_position_can_be_given_to_a_part() -> None:
    class Scaled(nn.Module):
        def forward(self, x: torch.Tensor, *, by: float) -> torch.Tensor:
            return x * by

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scaled = Scaled()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.scaled(x, by=2.0)
            return out

    (scaled,) = traced(Net(), 4).children
    assert scaled.inputs is None and not scaled.can_be_timed


def test_the_network_is_left_as_it_was() -> None:
    model = Residual(8).train()
    traced(model, 8)
    assert model.training and not model._forward_hooks and not model._forward_pre_hooks
    assert not any(parameter.is_meta for parameter in model.parameters())
