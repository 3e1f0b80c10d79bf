"""A search whose storage is a bucket, begun on one machine and continued on another."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from torch import nn

import raynas
from raynas.core.result import SearchResult
from raynas.run import results_folder
from raynas.storage import lease, replica
from raynas.strategies import RandomSearch
from raynas.trials import Function
from tests.flaky_storage import flaky
from tests.run.widths import SPACE


def train(model: nn.Module, config: dict[str, Any], state: dict[str, Any]) -> Iterator[dict[str, float]]:
    state.setdefault("seen", []).append(f"from {state.get('epoch', 0)}")
    for epoch in range(state.get("epoch", 0) + 1, 4):
        state["epoch"] = epoch
        yield {"accuracy": epoch / 10 + config["arch"]["width_0"] / 1000}


def search(bucket: Path, num_samples: int, **settings: Any) -> SearchResult:
    return raynas.search(
        SPACE,
        Function(fn=train, epochs=3),
        RandomSearch(),
        num_samples=num_samples,
        max_concurrent=2,
        progress=False,
        tensorboard=False,
        run_config=tune.RunConfig(
            name="search",
            storage_path="/results",
            storage_filesystem=flaky(bucket, failures=0.03, delay=0.002, seed=num_samples),
            **settings,
        ),
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(lease, "CONFIRM_SECONDS", 0.0)


def on_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_folder, "working_copy", lambda *_: folder)


def test_another_machine_extends_the_search_from_the_bucket_alone(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, there = tmp_path / "bucket", tmp_path / "bucket" / "results" / "search"
    on_machine(tmp_path / "here", monkeypatch)
    first = search(bucket, 3)
    assert [e.status for e in first.evaluations] == ["finished"] * 3
    assert first.path == tmp_path / "here" / "search"
    assert not list(first.path.glob("*/checkpoint_*")), "checkpoints are in the bucket"
    assert len(list(there.glob("*/checkpoint_*/meta.json"))) == 3 * 2, "two of each of the best"
    assert (there / "report.html").is_file() and (there / "best" / "weights.safetensors").is_file()
    assert not (there / "tuner.pkl").exists(), "no pickle of Tune's"

    on_machine(tmp_path / "there", monkeypatch)
    second = search(bucket, 5)
    assert [e.trial for e in second.evaluations[:3]] == [e.trial for e in first.evaluations]
    assert len(second.evaluations) == 5
    assert second.saved_state()["state"]["seen"] == ["from 0"]
    assert isinstance(second.best_model(), nn.Module)
