"""Synaptic flow against sums over paths."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raynas.metrics.zero_cost import (
    ZERO_COST,
)
from tests.metrics.zero_cost.networks import BATCH, MODEL, batch_of, close, made


def positive_flow(model: nn.Module, shape: tuple[int, ...]) -> list[tuple[Any, Any]]:
    model = copy.deepcopy(model).double().eval()
    model.norm = nn.Identity()
    for parameter in model.parameters():
        parameter.data.abs_()
    model(torch.ones((1, *shape), dtype=torch.float64)).sum().backward()
    used = (model.conv.weight, model.head.weight)  # type: ignore[union-attr]
    return [(w.detach().numpy(), w.grad.numpy()) for w in used]  # type: ignore[operator, union-attr]


def test_synflow_and_logsynflow_without_normalisation() -> None:
    model = copy.deepcopy(MODEL)
    model.norm.running_var.fill_(7)  # type: ignore[operator, union-attr]  # must not matter
    pairs = positive_flow(model, (2, 4, 4))
    assert ZERO_COST["synflow"](model, BATCH) == close(sum((w * g).sum() for w, g in pairs))
    assert ZERO_COST["logsynflow"](model, BATCH) == close(sum((w * np.log(g + 1)).sum() for w, g in pairs))


def test_synflow_sums_the_paths_of_each_layer() -> None:
    """Tanaka et al., section 4: without biases every layer's flow is the same R, the sum over paths of |w| products."""
    model = made(lambda: nn.Sequential(*(nn.Linear(3, 3, bias=False) for _ in range(3))))
    product = np.linalg.multi_dot([p.detach().abs().numpy().T for p in model.parameters()])
    assert ZERO_COST["synflow"](model, batch_of(2, (3,))) == close(3 * product.sum())


def test_synflow_goes_beyond_the_range_of_float32() -> None:
    model = made(lambda: nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(6))))
    for parameter in model.parameters():
        parameter.data.fill_(1e10)
    assert ZERO_COST["synflow"](model, batch_of(2, (2,))) == pytest.approx(6 * 2**7 * 1e60, rel=1e-4)
