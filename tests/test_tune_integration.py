"""A user's own Tuner takes a raynas space by one line and a raynas searcher by another."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining
from ray.tune.search import Searcher
from ray.tune.search.hyperopt import HyperOptSearch
from ray.tune.search.optuna import OptunaSearch

from raynas.core.space import SearchSpace
from raynas.search_spaces.cnn import CNN
from raynas.search_spaces.nasbench201 import NASBench201
from raynas.strategies import RegularizedEvolution

SPACE = CNN(input_shape=(1, 8, 8))
CELLS = NASBench201()
LR = tune.loguniform(1e-3, 1e-1)


class UsersTrainable(tune.Trainable):
    """What a user has: reads the architecture and lr from the config and reports an accuracy per epoch."""

    def setup(self, config: dict[str, Any]) -> None:
        space: SearchSpace = CELLS if "edge_0_1" in config["arch"] else SPACE
        self.arch = space.from_config(config)
        self.lr = config.get("lr", 0.01)

    def step(self) -> dict[str, Any]:
        accuracy = len(self.arch) / 50 + self.lr + self.iteration / 100
        return {"accuracy": accuracy, "done": self.iteration >= 3}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        (Path(checkpoint_dir) / "nothing").touch()

    def load_checkpoint(self, checkpoint: Any) -> None:
        pass


def fit(folder: Path, param_space: dict[str, Any], **tune_config: Any) -> Any:
    """The user's script; only ``param_space`` and ``search_alg`` change."""
    settings: dict[str, Any] = {"scheduler": ASHAScheduler(max_t=4), "num_samples": 4, **tune_config}
    return tune.Tuner(
        UsersTrainable,
        param_space=param_space,
        tune_config=tune.TuneConfig(
            metric="accuracy", mode="max", reuse_actors=True, max_concurrent_trials=2, **settings
        ),
        run_config=tune.RunConfig(
            name="users",
            storage_path=str(folder),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    ).fit()


def searchers() -> list[Any]:
    bohb = importlib.util.find_spec("hpbandster") and importlib.util.find_spec("ConfigSpace")
    return [
        pytest.param(lambda: OptunaSearch(seed=0), id="optuna"),
        pytest.param(lambda: HyperOptSearch(random_state_seed=0), id="hyperopt"),
        pytest.param(lambda: None, id="tune"),
        pytest.param(
            _bohb, id="bohb", marks=pytest.mark.skipif(not bohb, reason="pip install 'raynas[bohb]' to test BOHB too")
        ),
    ]


def _bohb() -> Searcher:
    from ray.tune.search.bohb import TuneBOHB

    return TuneBOHB(seed=0)


@pytest.mark.parametrize("searcher", searchers())
def test_users_tuner_takes_a_raynas_space(ray_cluster: None, tmp_path: Path, searcher: Any) -> None:
    # Ray 2.60's TuneBOHB gives numeric domains an argument that ConfigSpace 1 no longer takes, so it gets none.
    space, own = (CELLS, {}) if searcher is _bohb else (SPACE, {"lr": LR})
    results = fit(tmp_path, {"arch": space.param_space(), **own}, search_alg=searcher())
    assert len(results) == 4 and not results.errors
    for result in results:
        assert space.from_config(result.config)
        assert 1e-3 <= result.config.get("lr", 1e-3) <= 1e-1


def test_users_tuner_takes_a_raynas_searcher(ray_cluster: None, tmp_path: Path) -> None:
    searcher = RegularizedEvolution(population_size=2, tournament_size=1).searcher(SPACE, hyperparameters={"lr": LR})
    results = fit(tmp_path, {}, search_alg=searcher)
    assert len(results) == 4 and not results.errors
    assert len({SPACE.from_config(result.config) for result in results}) > 1


def test_population_based_training_mutates_a_raynas_space(ray_cluster: None, tmp_path: Path) -> None:
    space = {"arch": SPACE.param_space(), "lr": LR}
    scheduler = PopulationBasedTraining(perturbation_interval=1, hyperparam_mutations=space)
    results = fit(tmp_path, space, scheduler=scheduler, num_samples=3)
    assert len(results) == 3 and not results.errors
    assert all(SPACE.from_config(result.config) for result in results)
