"""Searches, funnels and shared weights whose storage is a bucket, begun on one machine and continued on another."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import tune
from safetensors.torch import load_file
from torch import nn

import raynas
from raynas import FunnelResult, FunnelStage
from raynas.core.archive import Archive
from raynas.core.result import SearchResult
from raynas.run import results_folder
from raynas.search_spaces import NASBench201
from raynas.storage import lease, replica
from raynas.strategies import RandomSearch
from raynas.trials import Function, SupernetTraining, TrainedSupernet
from raynas.trials.supernet.trained import WEIGHTS
from tests.flaky_storage import flaky
from tests.run.widths import SPACE


def train(model: nn.Module, config: dict[str, Any], state: dict[str, Any]) -> Iterator[dict[str, float]]:
    state.setdefault("seen", []).append(f"from {state.get('epoch', 0)}")
    for epoch in range(state.get("epoch", 0) + 1, 4):
        state["epoch"] = epoch
        yield {"accuracy": epoch / 10 + config["arch"]["width_0"] / 1000}


def width(model: nn.Module, config: dict[str, Any]) -> float:
    return float(config["arch"]["width_0"])


def search(bucket: Path, num_samples: int, **settings: Any) -> SearchResult:
    return raynas.search(
        SPACE,
        Function(fn=train, epochs=3),
        RandomSearch(),
        num_samples=num_samples,
        max_concurrent=2,
        progress=False,
        tensorboard=False,
        run_config=in_bucket(bucket, "search", seed=num_samples, **settings),
    )


def in_bucket(bucket: Path, name: str, *, seed: int = 0, **settings: Any) -> tune.RunConfig:
    storage = flaky(bucket, failures=0.03, delay=0.002, seed=seed)
    return tune.RunConfig(name=name, storage_path="/results", storage_filesystem=storage, **settings)


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


def test_another_machine_repeats_no_stage_of_a_funnel(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def funnel(n_last: int) -> FunnelResult:
        stages = [
            FunnelStage(Function(fn=width), n=4),
            FunnelStage(Function(fn=train, epochs=3), n=n_last),
        ]
        return raynas.funnel(
            SPACE,
            stages,
            max_concurrent=2,
            progress=False,
            tensorboard=False,
            run_config=in_bucket(tmp_path / "bucket", "funnel"),
        )

    on_machine(tmp_path / "here", monkeypatch)
    first = funnel(1)
    there = tmp_path / "bucket" / "results" / "funnel"
    assert (there / "funnel.json").is_file() and (there / "best" / "weights.safetensors").is_file()
    assert len(list(there.glob("2-*/*/checkpoint_*/meta.json"))) == 2

    on_machine(tmp_path / "there", monkeypatch)
    second = funnel(2)
    for before, after in zip(first.stages, second.stages, strict=True):
        assert before.result.evaluations == after.result.evaluations[: len(before.result.evaluations)]
    assert [len(at.result.evaluations) for at in second.stages] == [4, 2]


def test_another_machine_has_the_shared_weights(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_weights() -> TrainedSupernet:
        return raynas.train_supernet(
            NASBench201(channels=4, cells=1, input_shape=(1, 8, 8)),
            SupernetTraining(data="digits", data_fraction=0.1, epochs=1),
            progress=False,
            tensorboard=False,
            run_config=in_bucket(tmp_path / "bucket", "supernet"),
        )

    on_machine(tmp_path / "here", monkeypatch)
    first = load_file(train_weights().path / WEIGHTS)
    shutil.rmtree(tmp_path / "here")
    on_machine(tmp_path / "there", monkeypatch)
    second = load_file(train_weights().path / WEIGHTS)
    assert all(torch.equal(first[name], second[name]) for name in first)
    archive = Archive.load(tmp_path / "there" / "supernet" / "archive.jsonl")
    assert len(archive.events("session")) == 2 and len(archive.events("proposed")) == 1


class Own(tune.Trainable):
    """A class of the user's, which knows nothing of raynas's checkpoints."""

    def setup(self, config: dict[str, Any]) -> None:
        self.n = 0

    def step(self) -> dict[str, Any]:
        self.n += 1
        return {"accuracy": self.n / 10, "done": self.n == 3, "should_checkpoint": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        (Path(checkpoint_dir) / "n.txt").write_text(str(self.n))

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.n = int((Path(checkpoint) / "n.txt").read_text())


def test_a_class_of_the_users(ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_machine(tmp_path / "here", monkeypatch)
    found = raynas.search(
        SPACE,
        Own,
        RandomSearch(),
        num_samples=2,
        max_concurrent=1,  # the second might have the process of the first
        progress=False,
        tensorboard=False,
        leave_report=False,
        run_config=in_bucket(tmp_path / "bucket", "search"),
    )
    assert [(e.status, e.metrics["accuracy"]) for e in found.evaluations] == [("finished", 0.3)] * 2
    written = sorted((tmp_path / "bucket" / "results" / "search").glob("*/checkpoint_*/n.txt"))
    assert {path.read_text() for path in written} == {"2", "3"}, "the two newest of each"
    assert not list((tmp_path / "here" / "search").glob("*/checkpoint_*"))
