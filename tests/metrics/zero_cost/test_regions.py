"""Proxies of linear regions, by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from raynas.errors import RaynasError
from raynas.metrics.zero_cost import (
    ZERO_COST,
    Batch,
)
from tests.metrics.zero_cost.networks import BATCH, MODEL, batch_of, made


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU(inplace=True), nn.SiLU(), nn.Hardswish(), nn.ReLU6()])
def test_naswot_counts_agreeing_units(activation: nn.Module) -> None:
    model = made(lambda: nn.Sequential(nn.Flatten(), nn.Linear(32, 30), activation, nn.Linear(30, 20), nn.ReLU()))
    with torch.no_grad():
        first = model[:2](BATCH.inputs)  # type: ignore[index]
        second = model[3](activation(first.clone()))  # type: ignore[index]
    codes = torch.cat([first > 0, second > 0], 1).numpy()
    kernel = np.array([[float((a == b).sum()) for a in codes] for b in codes])
    assert ZERO_COST["naswot"](model, BATCH) == pytest.approx(math.log(np.linalg.det(kernel)), rel=1e-6)


def test_naswot_sees_functions_that_are_no_modules() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(32, 30)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.layer(x.flatten(1)))

    model = made(Functional)
    as_module = nn.Sequential(nn.Flatten(), model.get_submodule("layer"), nn.ReLU())
    assert ZERO_COST["naswot"](model, BATCH) == ZERO_COST["naswot"](as_module, BATCH)


def test_zen_by_hand() -> None:
    """Two linear maps around a batch norm; weights, input and perturbation are drawn in the order of the code."""
    model = made(lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)))
    batch = batch_of(32, (4,))
    found = ZERO_COST["zen"](model, batch, seed=3)
    torch.manual_seed(3)
    first, _ = torch.randn(5, 4), torch.randn(3, 5)
    x, e = torch.randn(32, 4), torch.randn(32, 4)

    def features(inputs: Tensor) -> tuple[Any, Any]:
        a = (inputs @ first.T).numpy().astype(np.float64)
        return (a - a.mean(0)) / np.sqrt(a.var(0) + 1e-5), a.var(0)

    (before, variance), (after, _) = features(x), features(x + 0.01 * e)
    distance = np.mean([np.linalg.norm(row) for row in before - after])
    assert found == pytest.approx(math.log(distance) + math.log(math.sqrt(variance.mean())), rel=1e-3)


def test_zen_does_not_depend_on_data_or_weights() -> None:
    other = made(seed=5)
    assert ZERO_COST["zen"](MODEL, BATCH) == ZERO_COST["zen"](other, batch_of(seed=8))
    assert ZERO_COST["zen"](MODEL, BATCH, seed=1) != ZERO_COST["zen"](MODEL, BATCH, seed=2)


def test_naswot_refuses_what_it_cannot_tell_apart() -> None:
    with pytest.raises(RaynasError, match="none"):
        ZERO_COST["naswot"](nn.Sequential(nn.Flatten(), nn.Linear(32, 3)), BATCH)
    same = Batch(BATCH.inputs[:1].repeat(4, 1, 1, 1), BATCH.labels[:4])
    with pytest.raises(RaynasError, match="the same everywhere"):
        ZERO_COST["naswot"](MODEL, same)
