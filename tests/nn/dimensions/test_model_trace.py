"""Traces of models that know the layer of each operation."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.errors import RaynasError
from raynas.nn.dimensions.expressions import resolved
from raynas.nn.dimensions.model_trace import ModelTrace, is_free
from raynas.nn.dimensions.tracing import INPUT, OUTPUT


class Net(nn.Module):
    """A layer, a function, an operation in place, and a layer that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.twice = nn.Linear(3, 4), nn.Linear(4, 4)
        self.drop = nn.Dropout(0.9)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.drop(self.linear(x)))
        y = self.twice(self.twice(y))
        return torch.cat([y, y.relu_()], dim=1)


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_layers_and_the_operations_on_their_outputs() -> None:
    model = Net()
    trace = ModelTrace(model, torch.zeros(2, 3))
    output = trace.the_output("linear")
    assert output.shape == (2, 4) and [step.name for step in trace.users(output)] == ["relu"]
    assert trace.n_calls(model.twice) == 2 and trace.n_calls(model.drop) == 1 and model.training
    assert trace.describe(trace.users(output)[0]) == "operation 'relu'"
    with pytest.raises(RaynasError, match="'twice' must be called once in a forward pass, got 2; known: linear, drop"):
        trace.the_output("twice")


def test_a_tensor_is_used_until_it_is_overwritten() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))
    trace = ModelTrace(model, torch.zeros(2, 3))
    (step,) = trace.users(trace.the_output("0"))
    assert step.is_in_place and trace.describe(step) == "layer '1' (ReLU)"


def test_inputs_and_outputs_are_fixed() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    trace = ModelTrace(model, torch.zeros(2, 3))
    first, last = (trace.of(model.get_parameter(f"{i}.weight")) for i in (0, 1))
    assert [getattr(resolved(dimension), "frozen", "") for dimension in (*first, *last)] == [None, INPUT, OUTPUT, None]
    assert is_free(first[0]) and not is_free(last[0])


def test_the_obstacle_is_the_first_operation_that_keeps_a_dimension_from_varying() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU(), nn.GroupNorm(2, 4), nn.Conv2d(4, 2, 1))
    trace = ModelTrace(model, torch.zeros(2, 2, 3, 3), watched=model.get_parameter("0.weight"))
    assert trace.obstacle == "layer '2' (GroupNorm)"


def test_errors_name_the_network_and_the_reason() -> None:
    with pytest.raises(RaynasError, match="Branching cannot be traced, as its control flow"):
        ModelTrace(Branching(), torch.ones(2, 3))
    with pytest.raises(RaynasError, match="forward pass of Net on the example input failed"):
        ModelTrace(Net(), torch.zeros(2, 5))
