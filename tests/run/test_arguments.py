"""Arguments of a search: numbers of any kind, options that are no numbers, and what is refused before Ray starts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray import tune
from torch import nn

import raynas
from raynas.errors import RaynasError
from raynas.strategies import RandomSearch
from tests.run.widths import Widths


def score(model: nn.Module, config: Mapping[str, Any]) -> dict[str, float]:
    """Report whether options arrive as they were written."""
    assert type(config["width"]) is int and config["betas"] in ((0.9, 0.99), None)
    assert config["schedule"]["milestones"] == (2, 5) and config["schedule"]["gamma"] in (0.1, 0.2, 0.30000000000000004)
    return {"accuracy": config["width"] / 32, "betas": float(config["betas"] is None)}


def search(folder: Path, **arguments: Any) -> raynas.SearchResult:
    run_config = tune.RunConfig(storage_path=str(folder), name="search")
    quiet = dict.fromkeys(("progress", "tensorboard", "leave_report"), False)
    return raynas.search(Widths(), score, RandomSearch(), run_config=run_config, **{**quiet, **arguments})


@pytest.mark.parametrize("value", [None, "4", 2.5, True, 0, np.float64("nan"), (3,)])
@pytest.mark.parametrize("name", ["num_samples", "seed", "max_concurrent"])
def test_an_argument_that_is_no_number_is_named_before_anything_starts(tmp_path: Path, name: str, value: Any) -> None:
    if (name, value) in (("max_concurrent", None), ("seed", 0)):
        return
    started = ray.is_initialized()
    with pytest.raises(RaynasError, match=f"{name} must be a whole number of at least [01], got ") as caught:
        search(tmp_path, **{"num_samples": 1, name: value})
    assert isinstance(caught.value, ValueError) and ray.is_initialized() is started
    assert not (tmp_path / "search").exists()


def test_options_arrive_as_they_were_written_also_after_a_resume(ray_cluster: None, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {
        "seed": np.int32(1),
        "max_concurrent": np.int64(1),
        "tensorboard": False,
        "constraints": "betas < 2",
        "hyperparameters": {
            "width": tune.choice(list(2 ** np.arange(3, 6))),
            "betas": tune.choice([(0.9, 0.99), None]),
            "schedule": {"gamma": tune.quniform(0.1, 0.3, 0.1), "milestones": (np.int64(2), 5)},
        },
    }
    first = search(tmp_path, num_samples=np.int64(3), **arguments)
    again = search(tmp_path, num_samples=6.0, **arguments)
    assert again.counts["finished"] == 6, [e.error for e in again.evaluations]
    assert [e.arch for e in again.evaluations[:3]] == [e.arch for e in first.evaluations]
    for evaluation in again.evaluations:
        assert evaluation.hyperparameters["betas"] in ((0.9, 0.99), None)
