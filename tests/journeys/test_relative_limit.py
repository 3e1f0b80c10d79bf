"""A limit relative to what the user already has, with the least typing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from torch import nn

import raynas
from raynas.strategies import RandomSearch
from tests.run.widths import Widths


def score(model: nn.Module, config: Mapping[str, Any]) -> float:
    return float(sum(config["arch"].values()) / 48)


def searched(folder: Path, **given: Any) -> raynas.SearchResult:
    return raynas.search(
        Widths(),
        score,
        RandomSearch(),
        num_samples=5,
        progress=False,
        tensorboard=False,
        leave_report=False,
        run_config=tune.RunConfig(storage_path=str(folder), name="limited"),
        **given,
    )


def test_a_default_baseline(ray_cluster: None, tmp_path: Path) -> None:
    limits = ["params <= 4 * baseline", "accuracy >= 1.5 * baseline"]
    with pytest.raises(ValueError, match=r'baseline="default"'):
        searched(tmp_path, constraints=limits)
    result = searched(tmp_path, constraints=limits, baseline="default")
    assert min(result.evaluations, key=lambda e: e.trial).arch == Widths().default
    assert {name: result.goal.baseline[name] for name in ("params", "accuracy")} == {"params": 9, "accuracy": 3 / 48}
    assert [constraint.limit for constraint in result.goal.constraints] == [36, pytest.approx(4.5 / 48)]
    assert all(e.metrics["params"] <= 36 for e in result.evaluations)
    assert result.best().metrics["accuracy"] >= 4.5 / 48


def test_a_model_as_the_baseline(ray_cluster: None, tmp_path: Path) -> None:
    result = searched(tmp_path, constraints="params <= 0.5 * baseline", baseline=nn.Linear(4, 20))
    assert result.goal.baseline == {"params": 100, "macs": 100}
    assert len(result.evaluations) == 5 and all(e.metrics["params"] <= 50 for e in result.evaluations)
