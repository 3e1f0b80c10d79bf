"""Gradient-based proxies against their formulas, written out by loops."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from raynas.metrics.zero_cost import (
    ZERO_COST,
    Batch,
)
from tests.metrics.zero_cost.networks import BATCH, MODEL, batch_of, close, made, weight_gradients


def test_grad_norm_is_the_sum_of_the_layers_norms() -> None:
    expected = sum(np.sqrt((g**2).sum()) for _, g in weight_gradients(MODEL, BATCH))
    assert ZERO_COST["grad_norm"](MODEL, BATCH) == close(expected)


def test_snip_is_the_sum_of_weight_times_gradient() -> None:
    expected = sum(np.abs(w * g).sum() for w, g in weight_gradients(MODEL, BATCH))
    assert ZERO_COST["snip"](MODEL, BATCH) == close(expected)


@pytest.mark.parametrize("smooth", [True, False])
def test_grasp_is_minus_weights_times_hessian_times_gradient(smooth: bool) -> None:
    """The Hessian is made whole, row by row, in float64."""
    activation: nn.Module = nn.Tanh() if smooth else nn.ReLU()
    model = made(lambda: nn.Sequential(nn.Conv2d(2, 3, 3), activation, nn.Flatten(), nn.Linear(12, 3)))
    exact = copy.deepcopy(model).double()
    names = ["0.weight", "3.weight"]
    sizes = [54, 36]
    start = torch.cat([dict(exact.named_parameters())[name].detach().flatten() for name in names])

    def loss(flat: Tensor) -> Tensor:
        parts = flat.split(sizes)
        given = {n: p.view_as(exact.get_parameter(n)) for n, p in zip(names, parts, strict=True)}
        outputs = torch.func.functional_call(exact, given, (BATCH.inputs.double(),))
        return cross_entropy(outputs, BATCH.labels)

    hessian = torch.autograd.functional.hessian(loss, start)
    gradient = torch.autograd.functional.jacobian(loss, start)
    assert isinstance(hessian, Tensor) and isinstance(gradient, Tensor)
    expected = -float(start @ hessian @ gradient)
    assert ZERO_COST["grasp"](model, BATCH) == pytest.approx(expected, rel=1e-4)


def test_grasp_through_batch_norm() -> None:
    exact = made(lambda: nn.Sequential(nn.Conv2d(2, 6, 4, bias=False), nn.BatchNorm2d(6), nn.Flatten())).double()
    with torch.no_grad():
        exact[1].weight.normal_()  # type: ignore[index]
    batch = batch_of(12, n_classes=6)
    weight = exact[0].weight  # type: ignore[index]
    loss = cross_entropy(exact(batch.inputs.double()), batch.labels)
    (first,) = torch.autograd.grad(loss, weight, create_graph=True)
    (second,) = torch.autograd.grad((first * first.detach()).sum(), weight)
    assert ZERO_COST["grasp"](exact.float(), batch) == close(-float((weight * second).detach().sum()))


def test_grasp_of_scale_invariant_weights_is_their_squared_gradient() -> None:
    """Before batch norm L(cw) = L(w), so that Hw = -g (the norm's epsilon set aside)."""
    model = made(lambda: nn.Sequential(nn.Conv2d(2, 6, 4, bias=False), nn.BatchNorm2d(6, eps=1e-12), nn.Flatten()))
    batch = batch_of(12, n_classes=6)
    expected = sum((g**2).sum() for _, g in weight_gradients(model, batch))
    assert ZERO_COST["grasp"](model, batch) == pytest.approx(expected, rel=1e-3)


def test_fisher_gives_each_weight_what_its_channel_contributes() -> None:
    """As the program of Abdelfattah et al. sums it: over weights, each with the score of its channel."""
    model = copy.deepcopy(MODEL).double().train()
    maps = []
    for layer in (model.conv, model.head):

        def keep(module: nn.Module, args: Any, output: Tensor) -> None:
            output.retain_grad()
            maps.append(output)

        layer.register_forward_hook(keep)  # type: ignore[union-attr]
    model.relu.inplace = False  # type: ignore[union-attr]
    cross_entropy(model(BATCH.inputs.double()), BATCH.labels).backward()
    expected = 0.0
    for each, weight in zip(maps, map(model.get_parameter, ("conv.weight", "head.weight")), strict=True):
        assert each.grad is not None
        for channel in range(each.shape[1]):
            inner = [float((each[n, channel].detach() * each.grad[n, channel]).sum()) for n in range(len(each))]
            scores = torch.full_like(weight[channel], sum(value**2 for value in inner) / (2 * len(each)))
            expected += float(scores.sum())
    assert len(maps) == 2 and ZERO_COST["fisher"](MODEL, BATCH) == close(expected)


def test_zico_is_the_log_of_mean_over_deviation() -> None:
    halves = [Batch(BATCH.inputs[part], BATCH.labels[part]) for part in (slice(3), slice(3, 6))]
    expected = 0.0
    for (_, a), (_, b) in zip(*(weight_gradients(MODEL, half) for half in halves), strict=True):
        both = np.stack([a, b])
        expected += math.log((np.abs(both).mean(0) / both.std(0)).sum())
    assert ZERO_COST["zico"](MODEL, BATCH) == pytest.approx(expected, rel=1e-3)


def test_l2_norm_and_counts() -> None:
    used = [MODEL.get_parameter(f"{name}.weight") for name in ("conv", "unused", "head")]
    expected = sum(np.sqrt((w.detach().numpy() ** 2).sum()) for w in used)
    assert ZERO_COST["l2_norm"](MODEL, BATCH) == close(expected)
    assert ZERO_COST["params"](MODEL, BATCH) == 5 * 2 * 9 + 10 + 4 * 2 * 9 + 4 + 5 * 3 + 3
    assert ZERO_COST["macs"](MODEL, BATCH) == 5 * 2 * 9 * 16 + 5 * 3 + 3
