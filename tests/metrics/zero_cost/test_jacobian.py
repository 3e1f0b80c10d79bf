"""Jacobian-based proxies against numpy."""

import numpy as np
import pytest
from torch import nn

from raynas.metrics.zero_cost import (
    ZERO_COST,
)
from tests.metrics.zero_cost.networks import BATCH, MODEL, batch_of, jacobian, made


def test_jacob_cov_of_eigenvalues() -> None:
    values = np.linalg.eigvals(np.corrcoef(jacobian(MODEL, BATCH.inputs))).real + 1e-5
    expected = -np.sum(np.log(values) + 1 / values)
    assert ZERO_COST["jacob_cov"](MODEL, BATCH) == pytest.approx(expected, rel=2e-3)


def test_epe_nas_within_classes() -> None:
    rows, expected = jacobian(MODEL, BATCH.inputs), 0.0
    for label in range(3):
        correlations = np.corrcoef(rows[BATCH.labels.numpy() == label])
        expected += abs(np.log(np.abs(correlations) + 1e-5).sum())
    assert ZERO_COST["epe_nas"](MODEL, BATCH) == pytest.approx(expected, rel=1e-3)


def test_epe_nas_compares_classes_where_there_are_many() -> None:
    model = made(lambda: nn.Sequential(nn.Flatten(), nn.Linear(32, 8), nn.Tanh(), nn.Linear(8, 101)))
    batch = batch_of(9)
    rows, found = jacobian(model, batch.inputs), []
    for label in range(3):
        members = rows[batch.labels.numpy() == label]
        found.append(np.log(np.abs(np.corrcoef(members)) + 1e-5).sum() / len(members))
    expected = sum(abs(a - b) for a in found for b in found) / 3
    assert ZERO_COST["epe_nas"](model, batch) == pytest.approx(expected, rel=1e-3)
