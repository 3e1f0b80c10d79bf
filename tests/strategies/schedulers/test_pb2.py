from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray import tune
from ray.tune.experiment import Trial

from raynas.errors import SpaceError
from raynas.strategies import PopulationBasedBandits
from raynas.testing import ToySpace

SPACE = ToySpace()
RATES = {"lr": tune.uniform(0.01, 0.1), "batch_size": tune.choice([16, 32]), "epochs": 3}
ARCH: dict[str, Any] = {f"layers.{i}": 0 for i in range(5)}


def test_the_scheduler_gets_the_settings() -> None:
    scheduler: Any = PopulationBasedBandits(interval=2, quantile=0.5, synchronous=True).scheduler(
        SPACE, "min:loss", hyperparameters=RATES
    )
    assert (scheduler._metric, scheduler._metric_op, scheduler._perturbation_interval) == ("loss", -1.0, 2)
    assert (scheduler._quantile_fraction, scheduler._synch, scheduler._time_attr) == (0.5, True, "training_iteration")
    assert scheduler._hyperparam_bounds == {"lr": [0.01, 0.1]}


# What Tune's own code warns of: so few points for a Gaussian process, and an option that scipy will drop.
@pytest.mark.filterwarnings("ignore:The optimal value found")
@pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning")
def test_explored_rates_are_within_bounds_and_one_decision_mutates() -> None:
    """After some rounds in which a larger rate gained more."""
    np.random.seed(0)
    scheduler: Any = PopulationBasedBandits().scheduler(SPACE, hyperparameters=RATES)
    trials = [
        Trial("toy", trial_id=str(i), config={"arch": ARCH, "lr": lr, "batch_size": 16, "epochs": 3}, stub=True)
        for i, lr in enumerate((0.02, 0.04, 0.06, 0.09))
    ]
    for trial in trials:
        scheduler.on_trial_add(SimpleNamespace(search_alg=None), trial)
    for epoch in (1, 2, 3):
        for trial in trials:
            accuracy = 10 * trial.config["lr"] * epoch
            result = {"training_iteration": epoch, "accuracy": accuracy}
            scheduler._save_trial_state(scheduler._trial_state[trial], epoch, result, trial)
    configs = [scheduler._get_new_config(trials[0], trials[3])[0] for _ in range(5)]
    for config in configs:
        assert 0.01 <= config["lr"] <= 0.1 and (config["batch_size"], config["epochs"]) == (16, 3)
        arch = SPACE.from_config(config)
        assert sum(arch[name] != ARCH[name] for name in ARCH) == 1
    assert configs[0]["lr"] > 0.05


def test_without_mutation_the_architecture_stays() -> None:
    scheduler: Any = PopulationBasedBandits(mutation_prob=0.0).scheduler(SPACE, hyperparameters=RATES)
    assert scheduler._custom_explore_fn({"arch": ARCH, "lr": 0.05}) == {"arch": ARCH, "lr": 0.05}


def test_parts_for_a_tuner() -> None:
    settings = PopulationBasedBandits()
    config = settings.tune_config(SPACE, population_size=4, hyperparameters=RATES)
    assert (config.num_samples, config.reuse_actors, config.max_concurrent_trials) == (4, True, None)
    assert settings.param_space(SPACE, RATES).keys() == {"arch", "lr", "batch_size", "epochs"}
    with pytest.raises(ValueError, match="at least 2 trials, got 1"):
        settings.tune_config(SPACE, population_size=1, hyperparameters=RATES)


def test_refusals() -> None:
    with pytest.raises(SpaceError, match="PB2 needs a continuous hyperparameter"):
        PopulationBasedBandits().scheduler(SPACE, hyperparameters={"batch_size": tune.choice([16, 32])})
    for settings, message in (
        ({"interval": 0}, "interval >= 1, got 0"),
        ({"quantile": 0.6}, "quantile <= 0.5, got 0.6"),
        ({"mutation_prob": 1.5}, r"mutation_prob in \[0, 1\], got 1.5"),
    ):
        with pytest.raises(ValueError, match=message):
            PopulationBasedBandits(**settings)
