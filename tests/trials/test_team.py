"""Trials of several processes: the same losses as one, whatever becomes of a process."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray import tune
from torch import Tensor, nn

import raynas
from raynas.core.architecture import Architecture
from raynas.core.decision import Categorical, Decision
from raynas.core.space import SearchSpace
from raynas.metrics import Metrics
from raynas.run.score_many import score_many
from raynas.strategies import RandomSearch
from raynas.strategies.schedulers.asha import Asha
from raynas.trials import Training, TrialRunner
from raynas.trials.checkpoint import CHECKPOINT_KEY
from raynas.trials.training import TrainingTrial
from tests.data.files import photos


class Blind(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 0 * x


@dataclass(frozen=True)
class Nets(SearchSpace):
    """Networks with batch norms; one of them learns nothing."""

    input_shape: tuple[int, ...] = (1, 8, 8)
    n_classes: int = 10

    @property
    def decisions(self) -> Sequence[Decision]:
        return (Categorical("sees", choices=(True, False)), Categorical("unused", choices=(False, True)))

    def build(self, arch: Architecture) -> nn.Module:
        layers = [nn.Conv2d(self.input_shape[0], 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()]
        layers += [nn.Linear(288, 16), nn.BatchNorm1d(16, momentum=None), nn.ReLU()]
        if arch["unused"]:  # a layer that the output does not depend on
            layers[0].register_module("unused", nn.Linear(2, 2))
        return nn.Sequential(*layers, nn.Identity() if arch["sees"] else Blind(), nn.Linear(16, self.n_classes))


SPACE = Nets()
ARCH = {"sees": True, "unused": False}
SETTINGS = Training(epochs=2, data_fraction=0.3, batch_size=60, clip_norm=1.0, augment="none")


class Watched(TrainingTrial):
    """Writes down its processes; "kill0" in the folder lets the first die once, "raise" lets the second fail."""

    settings: "WatchedTraining"

    def start(self, arch: Architecture, hyperparameters: Mapping[str, object]) -> None:
        (Path(self.settings.folder) / f"{os.getpid()}.pid").touch()
        super().start(arch, hyperparameters)

    def advance(self) -> Mapping[str, float]:
        kill, fail = (Path(self.settings.folder) / name for name in (f"kill{self.workers.rank}", "raise"))
        if self.epoch == 1 and kill.exists():
            kill.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.workers.rank == 1 and fail.exists():
            raise ValueError("a process of several")
        return super().advance()


@dataclass(frozen=True, kw_only=True)
class WatchedTraining(Training):
    folder: str = ""

    def runner(self, space: SearchSpace, metrics: Metrics = ("accuracy",)) -> TrialRunner[TrainingTrial]:
        space, reduced, source = self.at_fidelity(space)
        make = partial(Watched, reduced=reduced, source=source)
        return TrialRunner(space, self, make, metrics, team=self.team)


def watched(folder: Path, **changes: Any) -> WatchedTraining:
    return WatchedTraining(**{**vars(SETTINGS), "workers": 2, "folder": str(folder), **changes})


def results_of(settings: Training, arch: Mapping[str, Any] = ARCH) -> tuple[list[dict[str, Any]], Mapping[str, Tensor]]:
    runner = settings.runner(SPACE)
    runner.begin({"arch": dict(arch)})
    results = [runner.step()]
    while not results[-1]["done"]:
        results.append(runner.step())
    assert not results[-1]["failed"], results[-1]["error"]
    state = runner.state()
    assert state is not None
    runner.release()
    return results, state["model"]


def assert_equal_losses(one: Sequence[Mapping[str, Any]], two: Sequence[Mapping[str, Any]]) -> None:
    assert len(one) == len(two)
    for first, second in zip(one, two, strict=True):
        assert first["loss"] == pytest.approx(second["loss"], rel=1e-5)
        assert first["accuracy"] == pytest.approx(second["accuracy"], abs=0.005)


def assert_nothing_is_left(folder: Path) -> None:
    """Check that the processes of trials have ended, and that what they held is free."""
    pids = [int(file.stem) for file in folder.glob("*.pid") if int(file.stem) != os.getpid()]
    assert pids
    deadline = time.monotonic() + 60
    while any(map(_lives, pids)) or ray.available_resources().get("CPU") != 2:
        assert time.monotonic() < deadline, "a process of a trial lives on"
        time.sleep(0.1)
    groups = ray.util.placement_group_table().values()
    assert all(group["state"] == "REMOVED" for group in groups)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(("parallel", "unused"), [("ddp", False), ("ddp", True), ("fsdp", False), ("fsdp", True)])
def test_two_workers_equal_one(parallel: str, unused: bool, tmp_path: Path) -> None:
    """Measured: equal to 4e-7."""
    arch = {**ARCH, "unused": unused}
    one, expected = results_of(SETTINGS, arch)
    two, state = results_of(watched(tmp_path, parallel=parallel), arch)
    assert_equal_losses(one, two)
    for name, tensor in expected.items():
        assert torch.allclose(tensor, state[name], atol=1e-5), name
    assert len(list(tmp_path.glob("*.pid"))) == 2
    assert_nothing_is_left(tmp_path)


@pytest.mark.usefixtures("ray_cluster")
def test_two_workers_equal_one_on_streams_and_loaders(tmp_path: Path) -> None:
    """Each reads its share of a batch alone."""
    folder = f"folder:{photos(tmp_path, 240, (8, 8))}"
    streamed = {"data": folder, "image_size": 8, "stream_above_gb": 0, "data_dir": str(tmp_path), "data_workers": 0}
    for data in (streamed, {"data": "tests.trials.team_data:datasets"}):
        settings = replace(SETTINGS, data_fraction=1.0, **data)
        one, two = results_of(settings), results_of(replace(settings, workers=2))
        assert_equal_losses(one[0], two[0])
        assert all(torch.allclose(tensor, two[1][name], atol=1e-5) for name, tensor in one[1].items())


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("before", [1, 2])
def test_another_number_of_workers_continues_a_split_network(before: int, tmp_path: Path) -> None:
    """States are whole, those of the optimizer too."""
    whole, expected = results_of(SETTINGS, ARCH)
    first, second = (
        replace(SETTINGS, workers=workers, parallel="fsdp").runner(SPACE) for workers in (before, 3 - before)
    )
    first.begin({"arch": ARCH})
    first.step()
    first.save(tmp_path / "checkpoint")
    first.release()
    second.begin({"arch": ARCH, CHECKPOINT_KEY: str(tmp_path / "checkpoint")})
    result, state = second.step(), second.state()
    second.release()
    assert result["done"] and state is not None
    assert_equal_losses(whole[-1:], [result])
    for name, tensor in expected.items():
        assert torch.allclose(tensor, state["model"][name], atol=1e-5), name


@pytest.mark.usefixtures("ray_cluster")
def test_actors_of_a_pool_have_workers(tmp_path: Path) -> None:
    (result,) = score_many(SPACE, [ARCH], watched(tmp_path))
    assert result.status == "finished" and len(list(tmp_path.glob("*.pid"))) == 2
    assert_nothing_is_left(tmp_path)


@pytest.mark.usefixtures("ray_cluster")
def test_a_worker_that_fails_ends_the_trial_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "raise").touch()
    result = watched(tmp_path).evaluate(SPACE, ARCH)
    assert result["failed"] and "worker 1: ValueError: a process of several" in result["error"]
    assert_nothing_is_left(tmp_path)


@pytest.mark.usefixtures("ray_cluster")
def test_more_workers_than_there_is_room_for() -> None:
    result = replace(SETTINGS, workers=64, batch_size=64).evaluate(SPACE, ARCH)
    assert "64 workers need {'cpu': 1} each, more than there is" in result["error"]


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_search_stops_and_resumes_trials_of_two_workers(rank: int, tmp_path: Path) -> None:
    (tmp_path / f"kill{rank}").touch()
    result = raynas.search(
        SPACE,
        watched(tmp_path, epochs=3),
        RandomSearch(early_stopping=Asha(reduction_factor=2)),
        points_to_evaluate=[ARCH, {**ARCH, "sees": False}],
        num_samples=2,
        progress=False,
        tensorboard=False,
        leave_report=False,
        run_config=tune.RunConfig(name="x", storage_path=str(tmp_path / "results")),
    )
    assert_nothing_is_left(tmp_path)
    first, second = result.evaluations
    assert (first.fidelity, second.fidelity) == (3, 1)
    (lost,) = result.archive.events("lost")
    assert ("worker 1 of 2 was lost" in lost["reason"]) == (rank == 1)
    reported = [r["metrics"] for r in result.archive.events("result") if r["trial"] == first.trial]
    assert_equal_losses(results_of(replace(SETTINGS, epochs=3), ARCH)[0], [*reported, first.metrics])
