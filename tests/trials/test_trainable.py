"""Trials in Ray: actors that outlive failures, data that is shared, and going on after a kill."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune
from ray.tune import CheckpointConfig, FailureConfig, ResultGrid, RunConfig, TuneConfig

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.data.images import ImageData
from raynas.metrics import Metrics
from raynas.trials import ArchitectureTrainable, Training, TrialRunner
from raynas.trials.training import TrainingTrial
from tests.data.files import photos
from tests.trials.spaces import TinyCnn, Troubled

ARCH = {"depth": 2, "kernel": 3}


def fit(
    settings: Training, space: SearchSpace, param_space: dict[str, Any], path: Path, **run_config: Any
) -> ResultGrid:
    tuner = tune.Tuner(
        settings.trainable(space),
        param_space=param_space,
        tune_config=TuneConfig(metric="accuracy", mode="max", reuse_actors=True, max_concurrent_trials=1),
        run_config=RunConfig(name="search", storage_path=str(path), verbose=0, **run_config),
    )
    return tuner.fit()


def each(grid: ResultGrid) -> list[tune.Result]:
    return [grid[i] for i in range(len(grid))]


@pytest.fixture(autouse=True)
def quick_tune(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")


class LookingTrial(TrainingTrial):
    """Reports what it sees of the data, after training on it."""

    def advance(self) -> Mapping[str, float]:
        scores = super().advance()
        assert isinstance(self.source, ImageData)
        images = self.source.train.array
        seen = {"shared": not images.flags.owndata and not images.flags.writeable}
        return {**scores, **seen, "sees_test": self.source.test is not None}


@dataclass(frozen=True, kw_only=True)
class Looking(Training):
    def runner(self, space: SearchSpace, metrics: Metrics = ("accuracy",)) -> TrialRunner[TrainingTrial]:
        space, reduced, source = self.at_fidelity(space)
        return TrialRunner(space, self, partial(LookingTrial, reduced=reduced, source=source), metrics)


@pytest.mark.usefixtures("ray_cluster")
def test_one_actor_outlives_all_failures_and_shares_the_data(tmp_path: Path) -> None:
    troubles = ["none", "build", "forward", "shape", "none"]
    grid = fit(
        Looking(epochs=2, data_fraction=0.2),
        Troubled(),
        {"arch": {"trouble": tune.grid_search(troubles)}},
        tmp_path,
        checkpoint_config=CheckpointConfig(checkpoint_frequency=1),
    )
    results = [result.metrics or {} for result in each(grid)]
    assert not grid.errors and len({r["pid"] for r in results}) == 1
    assert [r["failed"] for r in results] == [0, 1, 1, 1, 0]
    assert [r["training_iteration"] for r in results] == [2, 0, 0, 0, 2]
    assert (results[0]["accuracy"], results[0]["loss"]) == (results[4]["accuracy"], results[4]["loss"])
    assert all((r["shared"], r["sees_test"]) == (1, 0) for r in (results[0], results[4]))
    written = [Path(str(result.path), "error.txt").exists() for result in each(grid)]
    assert written == [False, True, True, True, False]
    assert "RuntimeError: boom" in Path(str(grid[2].path), "error.txt").read_text()


@pytest.mark.usefixtures("ray_cluster")
def test_trials_stream_images_with_processes_of_their_own_and_share_the_cache(tmp_path: Path) -> None:
    held = Training(
        data=f"folder:{photos(tmp_path)}", data_dir=str(tmp_path), image_size=8, batch_size=4, epochs=2, data_workers=1
    )
    streamed = replace(held, stream_above_gb=0)
    grid = fit(streamed, TinyCnn(), {"arch": ARCH, "lr": tune.grid_search([0.1, 0.01])}, tmp_path)
    assert not grid.errors and len(list((tmp_path / "decoded").iterdir())) == 1
    for result, lr in zip(each(grid), (0.1, 0.01), strict=True):
        expected = held.evaluate(TinyCnn(), ARCH, {"lr": lr})
        assert (result.metrics or {})["loss"] == expected["loss"]


class DyingTrial(TrainingTrial):
    """Takes its process down in the third epoch, the first time it gets there."""

    def start(self, arch: Architecture, hyperparameters: Mapping[str, object]) -> None:
        super().start(arch, hyperparameters)
        self.marker = Path(str(hyperparameters["marker"]))

    def advance(self) -> Mapping[str, float]:
        if self.epoch == 2 and not self.marker.exists():
            self.marker.touch()
            os._exit(1)
        return super().advance()


@dataclass(frozen=True, kw_only=True)
class Dying(Training):
    def runner(self, space: SearchSpace, metrics: Metrics = ("accuracy",)) -> TrialRunner[TrainingTrial]:
        space, reduced, source = self.at_fidelity(space)
        return TrialRunner(space, self, partial(DyingTrial, reduced=reduced, source=source), metrics)

    def with_hyperparameters(self, hyperparameters: Mapping[str, object]) -> "Dying":
        return super().with_hyperparameters({k: v for k, v in hyperparameters.items() if k != "marker"})


@pytest.mark.usefixtures("ray_cluster")
def test_a_killed_trial_goes_on_exactly(tmp_path: Path) -> None:
    marker = tmp_path / "killed"
    grid = fit(
        Dying(epochs=4, data_fraction=0.3),
        TinyCnn(),
        {"arch": ARCH, "marker": str(marker)},
        tmp_path,
        checkpoint_config=CheckpointConfig(checkpoint_frequency=1),
        failure_config=FailureConfig(max_failures=1),
    )
    assert not grid.errors
    result = grid[0].metrics or {}
    expected = Training(epochs=4, data_fraction=0.3).evaluate(TinyCnn(), ARCH)
    assert marker.exists() and result["training_iteration"] == 4 and result["complete"] == 1
    assert result["iterations_since_restore"] == 2
    assert (result["accuracy"], result["loss"]) == (expected["accuracy"], expected["loss"])


def test_a_reused_actor_has_the_folder_of_its_present_trial() -> None:
    runner = Training(epochs=1, data_fraction=0.3).runner(TinyCnn())

    class Here(ArchitectureTrainable):
        def setup(self, config: dict[str, Any], runner: Any = runner) -> None:
            super().setup(config, runner)

    trainable = Here({"arch": ARCH})
    assert runner.directory is None
    vars(trainable)["_storage"] = SimpleNamespace(trial_fs_path="results/second")  # as Tune does before it resets
    trainable.reset_config({"arch": ARCH})
    assert runner.directory == "results/second"


def test_a_trial_begins_with_its_first_step() -> None:
    """What takes long there counts as its time; before, an actor may still be waiting for its node."""
    begun: list[Any] = []

    class Runner:
        directory, progress = None, SimpleNamespace(traceback="")
        begin, release = staticmethod(begun.append), staticmethod(lambda: None)
        load, save = staticmethod(lambda path: None), staticmethod(lambda path: None)
        step = staticmethod(lambda: {"accuracy": 0.5, "done": True})

    class Here(ArchitectureTrainable):
        def setup(self, config: dict[str, Any], runner: Any = None) -> None:
            super().setup(config, Runner())  # type: ignore[arg-type]

    trainable = Here({"arch": 1})
    assert begun == []
    trainable.step()
    trainable.step()
    assert begun == [{"arch": 1}]
    trainable.reset_config({"arch": 2})
    assert len(begun) == 1
    trainable.load_checkpoint("somewhere")
    trainable.step()
    assert begun == [{"arch": 1}, {"arch": 2}]
