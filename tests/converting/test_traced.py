"""Runs of models to convert: what they must not change, and models that are refused with the reason."""

import threading

import pytest
import torch
from torch import Tensor, nn

from raynas.converting import convert
from raynas.errors import SpaceError
from raynas.nn.supernet import Supernet

X = torch.rand(2, 8)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(8, 16), nn.Linear(16, 24), nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.second(self.first(x).relu()).relu())
        return y


class Counting(Net):
    calls: Tensor
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(16))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.mean.mul_(0.9).add_(0.1 * self.first(x).mean(0).detach())
        return super().forward(x)


def test_buffers_that_a_forward_pass_writes_stay() -> None:
    model = Counting()
    space = convert(model, X)
    assert set(space.plan.widths) == {"first.width", "second.width"}
    member = space.build(space.smallest)
    member(X)
    Supernet(space)(X, space.smallest)
    space.summary()
    assert not model.calls.any() and not model.mean.any()
    assert member.get_buffer("calls") == 1 and member.get_buffer("mean").shape == (8,)


def test_layers_that_nothing_runs_stay_and_are_named() -> None:
    model = Net()
    model.unused = nn.LayerNorm(16)
    space = convert(model, X)
    assert set(space.plan.widths) == {"first.width", "second.width"}
    reasons = {each.name: each.reason for each in space.fixed}
    assert reasons["unused.width"] == "no operation computes with it"


def with_lock() -> nn.Module:
    model = Net()
    model.lock = threading.Lock()  # type: ignore[assignment]
    return model


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: nn.DataParallel(Net()), r"convert the model in it, model\.module"),
        (lambda: torch.compile(Net(), backend="eager"), r"convert it before torch\.compile"),
        (lambda: nn.Sequential(torch.jit.script(nn.Linear(8, 16)), nn.Linear(16, 4)), "0 is scripted"),
        (lambda: nn.Sequential(nn.LazyLinear(16), nn.Linear(16, 4)), "run it once before it is converted"),
        (lambda: nn.Sequential(nn.Linear(8, 16), nn.LazyBatchNorm1d(), nn.Linear(16, 4)), "lazy layers"),
        (with_lock, "Net cannot be copied, as its smaller relatives are: .*lock"),
        (lambda: nn.Linear(9, 4), "Linear does not run on the example inputs: "),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_models_of_which_no_smaller_copy_can_be_made_are_refused(make: type[nn.Module], reason: str) -> None:
    with pytest.raises(SpaceError, match=reason):
        convert(make(), X)


def test_no_conversion_in_inference_mode() -> None:
    model = Net()
    with torch.inference_mode(), pytest.raises(SpaceError, match="outside of it"):
        convert(model, X)
