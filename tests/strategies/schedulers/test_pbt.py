"""Population based training: explore stays within the space, and exploit keeps weights across architectures."""

import logging
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray import cloudpickle, tune
from ray.tune import CheckpointConfig, RunConfig
from ray.tune.experiment import Trial
from torch import Tensor, nn

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.metrics import Metrics
from raynas.metrics.cost import count_params
from raynas.nn import Choice, ModelSpace, Repeat
from raynas.strategies import PopulationBasedTraining
from raynas.testing import ToySpace
from raynas.trials import Function, Training, TrialRunner
from raynas.trials.checkpoint import CHECKPOINT_KEY
from raynas.trials.training import TrainingTrial

torch.set_num_threads(1)

# --- explore ---------------------------------------------------------------------------------------------------------

SPACE = ToySpace()
DOMAINS: dict[str, Any] = {
    "lr": tune.loguniform(1e-3, 1e-1),
    "batch_size": tune.choice([16, 32, 64]),
    "warmup": tune.randint(0, 5),
    "epochs": 7,
}


def config_of(seed: int = 0) -> dict[str, Any]:
    arch = SPACE.sample(np.random.default_rng(seed))
    return {"arch": arch.to_config(), "lr": 0.09, "batch_size": 64, "warmup": 0, "epochs": 7, "other": "kept"}


def line_of(n: int, settings: PopulationBasedTraining, seed: int = 0) -> list[dict[str, Any]]:
    explore, configs = settings.explore(SPACE, DOMAINS, seed=seed), [config_of()]
    for _ in range(n):
        configs.append(explore(configs[-1]))
    return configs


def test_explore_mutates_one_decision_and_stays_in_the_domains() -> None:
    configs = line_of(200, PopulationBasedTraining())
    for before, after in pairwise(configs):
        old, new = SPACE.from_config(before), SPACE.from_config(after)
        assert dict(new) == after["arch"] and new != old
        assert len([name for name in old.keys() & new.keys() if old[name] != new[name]]) == 1
        assert 1e-3 <= after["lr"] <= 1e-1 and after["batch_size"] in (16, 32, 64) and after["warmup"] in range(5)
        assert (after["epochs"], after["other"]) == (7, "kept")
        assert abs(after["warmup"] - before["warmup"]) <= 4
    assert {config["batch_size"] for config in configs} == {16, 32, 64}
    assert {config["warmup"] for config in configs} == set(range(5))


def test_without_resampling_each_hyperparameter_moves_one_step() -> None:
    settings = PopulationBasedTraining(resample_prob=0, mutation_prob=0, factors=(0.5, 2))
    configs = line_of(100, settings)
    for before, after in pairwise(configs):
        assert after["arch"] == before["arch"]
        assert after["lr"] in (before["lr"] / 2, min(before["lr"] * 2, 1e-1), 1e-3)
        assert abs(after["warmup"] - before["warmup"]) <= 1
        assert after["batch_size"] / before["batch_size"] in (0.5, 1, 2)


def test_explore_follows_its_seed_and_survives_pickling() -> None:
    settings = PopulationBasedTraining(mutation_prob=0.7)
    expected = line_of(20, settings)
    random.seed(1)
    np.random.seed(1)
    assert line_of(20, settings) == expected and line_of(20, settings, seed=1) != expected
    explore = settings.explore(SPACE, DOMAINS)
    before = explore(config_of())
    copy = cloudpickle.loads(cloudpickle.dumps(explore))
    assert copy(before) == explore(before)


def test_explore_keeps_what_it_cannot_change_and_redraws_what_is_no_member() -> None:
    space = ToySpace(n_layers=1, n_options=1)
    explore = PopulationBasedTraining(resample_prob=0).explore(space, DOMAINS)
    arch = space.sample(np.random.default_rng(0))
    for _ in range(5):
        after = explore({"arch": arch.to_config(), "batch_size": 7})
        assert after["batch_size"] in (16, 32, 64) and "lr" not in after
        space.from_config(after)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"interval": 0}, "interval >= 1"),
        ({"burn_in": -1}, "burn_in >= 0"),
        ({"quantile": 0}, "0 < quantile"),
        ({"quantile": 0.6}, "quantile <= 0.5"),
        ({"mutation_prob": 1.1}, r"mutation_prob in \[0, 1\]"),
        ({"resample_prob": math.nan}, r"resample_prob in \[0, 1\]"),
        ({"factors": ()}, "factors above 0"),
        ({"factors": (0.0, 1.2)}, "factors above 0"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        PopulationBasedTraining(**settings)


def test_the_parts_for_a_tuner() -> None:
    settings = PopulationBasedTraining(interval=3, burn_in=4, quantile=0.5, synchronous=True)
    config = settings.tune_config(SPACE, population_size=6, objective="min:loss", hyperparameters=DOMAINS)
    scheduler: Any = config.scheduler
    assert (config.num_samples, config.reuse_actors, config.search_alg) == (6, True, None)
    assert (scheduler._metric, scheduler._mode, scheduler._time_attr) == ("loss", "min", "training_iteration")
    assert (scheduler._perturbation_interval, scheduler._burn_in_period) == (3, 4)
    assert (scheduler._quantile_fraction, scheduler._synch) == (0.5, True)
    domains = settings.param_space(SPACE, DOMAINS)
    assert domains["arch"].keys() == {decision.name for decision in SPACE.decisions} and domains["lr"] is DOMAINS["lr"]
    with pytest.raises(ValueError, match="at least 2"):
        settings.tune_config(SPACE, population_size=1)
    with pytest.raises(SpaceError, match="cannot be searched"):
        settings.scheduler(SPACE, hyperparameters={"lr": tune.randn()})


# --- a trial that takes over another architecture's checkpoint -------------------------------------------------------


class Net(nn.Module):
    """A small network with a width, a kernel and a depth to decide."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Choice({f"w{n}": partial(nn.Conv2d, 1, n, 3, padding=1) for n in (8, 12)})
        self.norm = nn.Sequential(nn.LazyBatchNorm2d(), nn.ReLU())
        self.mix = nn.LazyConv2d(16, 3, stride=2)
        self.act = nn.ReLU()
        self.blocks = Repeat(block, 1, 3)
        self.head = nn.Linear(16 * 9, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.act(self.mix(self.norm(self.stem(x)))))
        out: Tensor = self.head(x.flatten(1))
        return out


def block(i: int) -> nn.Module:
    sizes = {f"k{k}": partial(nn.Conv2d, 16, 16, k, padding=k // 2) for k in (1, 3)}
    return nn.Sequential(Choice(sizes), nn.BatchNorm2d(16), nn.ReLU())


NETS = ModelSpace(Net, input_shape=(1, 8, 8))
PARENT = {"stem": "w8", "blocks": 1, "blocks.0.0": "k1"}
CHILD = {"stem": "w12", "blocks": 2, "blocks.0.0": "k3", "blocks.1.0": "k3"}
SETTINGS = Training(epochs=6, schedule="constant", lr=0.05)

pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")


@pytest.fixture(scope="module")
def runner() -> TrialRunner[TrainingTrial]:
    return SETTINGS.runner(NETS)


def trained(runner: TrialRunner[TrainingTrial], directory: Path, n_epochs: int) -> dict[str, Any]:
    runner.begin({"arch": PARENT})
    result = [runner.step() for _ in range(n_epochs)][-1]
    runner.save(directory)
    return result


def test_a_trial_takes_over_another_architecture(runner: TrialRunner[TrainingTrial], tmp_path: Path) -> None:
    parent = trained(runner, tmp_path, n_epochs=3)
    runner.begin({"arch": CHILD})
    own = {name: value for name, value in runner.progress.costs.items() if name in ("params", "macs", "latency_ms")}
    runner.load(tmp_path)
    # All that changed is preserving, so the accuracy is the parent's before the child trains at all.
    assert (
        runner.progress.scores["accuracy"] == pytest.approx(parent["accuracy"], abs=0.01) and parent["accuracy"] > 0.7
    )
    assert runner.progress.epoch == runner.trial.trainer.epoch == 3
    result = runner.step()
    assert (result["training_iteration"], result["failed"], result["done"]) == (4, 0, False)
    assert result["accuracy"] > parent["accuracy"] - 0.1
    assert own["params"] > parent["params"] and own.items() <= result.items()  # not the parent's
    assert result["train_seconds"] > parent["train_seconds"]
    assert [runner.step()["done"] for _ in range(2)] == [False, True]


def test_taking_over_is_reproducible_and_independent_of_where_the_trial_stood(
    runner: TrialRunner[TrainingTrial], tmp_path: Path
) -> None:
    trained(runner, tmp_path, n_epochs=2)
    scores = []
    for n_before in (0, 1):
        runner.begin({"arch": CHILD})
        for _ in range(n_before):
            runner.step()
        runner.load(tmp_path)
        scores.append(runner.step()["loss"])
    assert scores[0] == scores[1]


def test_a_parent_that_had_finished_leaves_a_score_of_the_childs_own(
    runner: TrialRunner[TrainingTrial], tmp_path: Path
) -> None:
    parent = trained(runner, tmp_path, n_epochs=6)
    runner.begin({"arch": {**PARENT, "stem": "w12"}})
    runner.load(tmp_path)
    result = runner.step()
    assert result["done"] and result["training_iteration"] == 6
    assert result["accuracy"] == pytest.approx(parent["accuracy"], abs=0.01)


def test_a_resumed_trial_still_refuses_another_architecture(
    runner: TrialRunner[TrainingTrial], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained(runner, tmp_path, n_epochs=2)
    runner.begin({"arch": CHILD, CHECKPOINT_KEY: str(tmp_path)})
    assert runner.progress.epoch == 0 and "is of another architecture" in caplog.text


def test_what_cannot_be_taken_over_costs_a_warning(
    runner: TrialRunner[TrainingTrial], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained(runner, tmp_path, n_epochs=2)
    meta = tmp_path / "meta.json"
    meta.write_text(meta.read_text().replace('"w8"', '"w12"'))  # the weights are not of this architecture
    runner.begin({"arch": CHILD})
    expected = runner.step()["loss"]
    runner.begin({"arch": CHILD})
    runner.load(tmp_path)
    assert runner.step()["loss"] == expected
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1 and "starts from the beginning: the weights are not those" in warnings[0]


def test_a_trial_without_weights_starts_from_the_beginning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def score(model: nn.Module, config: Mapping[str, Any]) -> dict[str, float]:
        return {"accuracy": 0.5}

    runner = Function(fn=score).runner(NETS)
    runner.begin({"arch": PARENT})
    runner.step()
    runner.save(tmp_path)
    runner.begin({"arch": CHILD})
    runner.load(tmp_path)
    assert runner.progress.epoch == 0 and "starts from the beginning" in caplog.text
    assert runner.step()["accuracy"] == 0.5


# --- a real run ------------------------------------------------------------------------------------------------------


class WatchedTrial(TrainingTrial):
    """Reports what its first epoch after an exploit started from."""

    def start(self, arch: Architecture, hyperparameters: Mapping[str, object]) -> None:
        super().start(arch, hyperparameters)
        self.seen = {"inherited": -1.0, "same_arch": -1.0}

    def take_over(self, state: Mapping[str, Any], arch: Architecture) -> Mapping[str, float]:
        scores = super().take_over(state, arch)
        self.seen = {"inherited": scores["accuracy"], "same_arch": float(arch == self.arch)}
        return scores

    def advance(self) -> Mapping[str, float]:
        scores = {**super().advance(), **self.seen}
        self.seen = dict.fromkeys(self.seen, -1.0)
        return scores


@dataclass(frozen=True, kw_only=True)
class Watched(Training):
    def runner(self, space: SearchSpace, metrics: Metrics = ("accuracy",)) -> TrialRunner[TrainingTrial]:
        space, reduced, source = self.at_fidelity(space)
        return TrialRunner(space, self, partial(WatchedTrial, reduced=reduced, source=source), metrics)


class Recorder(tune.Callback):
    def __init__(self) -> None:
        self.reports: list[tuple[str, dict[str, Any], dict[str, Any]]] = []

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        # Not the config of the trial: the scheduler sees a report first, and may have given it another one.
        self.reports.append((trial.trial_id, dict(result["config"]), dict(result)))


@pytest.mark.usefixtures("ray_cluster")
def test_exploits_change_the_architecture_and_keep_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    random.seed(0)  # Tune draws the first population and the trials to clone from the global generators
    np.random.seed(0)
    settings = PopulationBasedTraining(interval=1, burn_in=2, quantile=0.5, synchronous=True)
    rates = {"lr": tune.loguniform(2e-2, 1e-1)}
    recorder = Recorder()
    tuner = tune.Tuner(
        Watched(epochs=5, schedule="constant").trainable(NETS),
        param_space=settings.param_space(NETS, rates),
        tune_config=settings.tune_config(NETS, population_size=4, hyperparameters=rates),
        run_config=RunConfig(
            name="pbt",
            storage_path=str(tmp_path),
            verbose=0,
            checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
            callbacks=[recorder],
        ),
    )
    grid = tuner.fit()
    assert not grid.errors and len(grid) == 4
    assert all((grid[i].metrics or {})["training_iteration"] == 5 for i in range(4))
    exploits = [(config, result) for _, config, result in recorder.reports if result["inherited"] >= 0]
    assert len(exploits) == 3 * 2  # the worse half after epochs 2, 3 and 4; after the last nothing is left to explore
    for config, result in exploits:
        assert result["same_arch"] == 0 and result["training_iteration"] >= 3
        assert 2e-2 <= config["lr"] <= 1e-1
        assert result["params"] == count_params(NETS.build(NETS.from_config(config)))
    # Before any training of the child: what grew lost nothing, what shrank may have lost much. Chance is 0.1.
    assert sorted(result["inherited"] for _, result in exploits)[len(exploits) // 2] > 0.3
    assert min(result["accuracy"] for _, result in exploits) > 0.6
    assert all(result["failed"] == 0 for _, _, result in recorder.reports)
