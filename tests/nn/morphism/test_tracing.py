import operator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.errors import RaynasError
from raynas.nn.morphism.tracing import argument_of, function_name, shapes_in, traced


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.drop = nn.Dropout(0.9)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.drop(self.linear(x)))
        y = y + 1
        return torch.cat([y, y.relu_()], dim=1)


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_every_tensor_has_a_shape() -> None:
    model = Net()
    trace = traced(model)
    shapes = {node.name: tuple(shape) for node, shape in shapes_in(trace, torch.zeros(2, 3)).items()}
    assert shapes["x"] == (2, 3) and shapes["linear"] == (2, 4) and shapes["cat"] == (2, 8)
    assert model.training and trace.linear is model.linear


def test_names_and_arguments_of_functions() -> None:
    nodes = {node.name: node for node in traced(Net()).graph.nodes}
    assert function_name(nodes["relu"]) == "relu" and function_name(nodes["relu_"]) == "relu"
    assert function_name(next(n for n in nodes.values() if n.target is operator.add)) == "add"
    assert argument_of(nodes["cat"], 1, "dim") == 1 and argument_of(nodes["cat"], 7, "out") is None


def test_errors_name_the_network_and_the_reason() -> None:
    with pytest.raises(RaynasError, match="Branching cannot be traced"):
        traced(Branching())
    with pytest.raises(RaynasError, match="forward pass on the example input failed"):
        shapes_in(traced(Net()), torch.zeros(2, 5))
