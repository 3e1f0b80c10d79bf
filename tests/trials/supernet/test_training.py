"""Shared weights: trained, checkpointed, killed, and held-out images."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray import cloudpickle

from raynas.core.architecture import Architecture
from raynas.errors import DataError, InfeasibleError, SpaceError
from raynas.metrics import read_goal, untrained_metrics
from raynas.nn.batch_statistics import recalibrate
from raynas.search_spaces import MLP
from raynas.trials.supernet.space import SupernetSpace
from tests.trials.spaces import TinyCnn
from tests.trials.supernet.small import SPACE, HeldOut, settings, trained, trainer_of


def test_training_lowers_the_loss_and_reports_the_candidates() -> None:
    runner = trained(settings(epochs=5, lr=0.1, batch_size=32))
    losses = [h["train_loss"] for h in runner.trial.history]
    assert losses[-1] < losses[0] - 0.1
    result = runner.step()
    assert result["complete"] == 1 and result["training_iteration"] == 5
    # By hand: the mean over the learner's candidates, each on its own recalibrated copy.
    trainer = trainer_of(runner)
    accuracies = []
    for arch in trainer.learner.candidates():
        model = trainer.learner.supernet.extract(arch)
        recalibrate(model, trainer._calibration())
        accuracies.append(trainer.examine("valid", model)["accuracy"])
    assert result["accuracy"] == pytest.approx(np.mean(accuracies))
    assert result["accuracy"] > 0.15  # chance is 0.1


def test_a_killed_training_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    whole = trained(settings())
    killed = trained(settings(), n_epochs=1)
    killed.save(tmp_path)
    resumed = trained(settings(), checkpoint=tmp_path)
    assert resumed.trial.history == whole.trial.history
    weights, again = (t.trial.state()["learner"]["supernet"] for t in (whole, resumed))
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    torch.load(tmp_path / "state.pt", weights_only=True)  # executes nothing


def test_weights_follow_the_seed() -> None:
    first, second = (trained(settings(seed=seed, epochs=1)).trial.history[0]["train_loss"] for seed in (0, 1))
    assert first != second
    assert first == trained(settings(epochs=1)).trial.history[0]["train_loss"]


def test_loaders_are_halved_for_methods_with_held_out_examples() -> None:
    given = settings(data="tests.trials.supernet.test_training:loaders", data_fraction=1.0, batch_size=16, epochs=1)
    runner = trained(replace(given, method=HeldOut()))
    assert runner.trial.history[0]["n_watched"] == 32
    with pytest.raises(DataError, match="cannot be halved, as this method needs, because it is a stream: return"):
        trained(replace(given, data="tests.trials.supernet.test_training:streams", method=HeldOut()))


class Stream(torch.utils.data.IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(loaders()[0])

    def __len__(self) -> int:
        return 64


def streams() -> Sequence[Any]:
    return Stream(), Stream()


def loaders() -> Sequence[Any]:
    data = torch.utils.data.TensorDataset(torch.randn(64, 1, 8, 8), torch.arange(64) % 10)
    return data, data


def test_loaders_of_the_users_own() -> None:
    given = settings(data="tests.trials.supernet.test_training:loaders", data_fraction=1.0, epochs=1, batch_size=16)
    runner = given.runner(SPACE)
    runner.raises = True
    runner.begin({"arch": {"method": "SinglePath"}})
    assert runner.step()["training_iteration"] == 1


def test_what_a_method_says_is_told(tmp_path: Path) -> None:
    runner = trained(settings(method=HeldOut(stops_after=2)))
    assert [h["epoch"] for h in runner.trial.history] == [1, 2]  # of three
    result = runner.step()
    assert result["complete"] == 1
    assert result["derived"] == Architecture(runner.trial.history[-1]["derived"]).to_json()
    runner.save(tmp_path)
    again = trained(settings(method=HeldOut(stops_after=2)), checkpoint=tmp_path)
    assert len(again.trial.history) == 2  # there was nothing left to do


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"workers": 0}, "workers must be a whole number of at least 1, got 0"),
        ({"workers": 3}, r"batch_size must be a multiple of workers \(3\), got 64"),
        ({"clip_norm": 0}, "clip_norm must be a number above 0, got 0"),
        ({"calibration_batches": 0}, "calibration_batches must be a whole number of at least 1, got 0"),
        ({"method": "darts"}, "method must be one of raynas.oneshot, got 'darts'"),
    ],
)
def test_wrong_settings(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        settings(**change)


@pytest.mark.parametrize("space", [TinyCnn(), MLP()])
def test_a_space_without_a_supernet(space: Any) -> None:
    with pytest.raises(SpaceError, match="not read off a model with choices"):
        settings().runner(space)


def test_limits_hold_for_what_is_scored() -> None:
    params = untrained_metrics(SPACE, ["params"])["params"]
    most = sorted(params(SPACE.sample(np.random.default_rng(i))) for i in range(20))[1]
    goal, given = read_goal("accuracy", f"params <= {most}"), settings(epochs=1)
    runner = given.runner(SupernetSpace(SPACE, given.method, goal))
    runner.begin({"arch": {"method": "SinglePath"}})
    limits = cloudpickle.loads(cloudpickle.dumps(runner.trial.limits))  # as it travels to workers
    learner = trainer_of(runner).learner
    assert learner.setup.limits is runner.trial.limits and limits.goal == goal
    assert all(params(arch) <= most for arch in learner.candidates())
    with pytest.raises(InfeasibleError, match="params <= 1"):
        given.runner(SupernetSpace(SPACE, given.method, read_goal("accuracy", "params <= 1")))
    assert SupernetSpace(SPACE, given.method, goal).name.endswith(f"within {goal.hard[0]}")
