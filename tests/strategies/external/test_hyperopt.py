import numpy as np
import pytest
from ray import tune
from ray.tune.search.hyperopt import HyperOptSearch

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.strategies import HyperOpt
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=3, n_options=3)


def test_golden_trajectory() -> None:
    """The proposals are those of Tune's HyperOptSearch, as long as it does not repeat itself."""
    searcher = HyperOpt(n_initial=4).searcher(SPACE, costs={}, seed=1)
    proposed = [SPACE.from_config(config) for config in run_trials(searcher, SPACE.result, 8)]
    domains = HyperOptSearch.convert_search_space({"arch": SPACE.param_space()})
    search = HyperOptSearch(domains, metric="accuracy", mode="max", n_initial_points=4, random_state_seed=1)
    suggested = []
    for i in range(20):
        config = search.suggest(str(i))
        assert config is not None
        suggested.append(SPACE.from_config(config))
        search.on_trial_complete(str(i), SPACE.result(SPACE.to_config(suggested[-1])))
    assert proposed == list(dict.fromkeys(suggested))[:8]


def test_numbers_are_plain() -> None:
    domains = {"warmup": tune.randint(0, 9), "lr": tune.loguniform(1e-3, 1e-1)}
    searcher = HyperOpt(n_initial=2).searcher(SPACE, costs={}, hyperparameters=domains)
    for config in run_trials(searcher, SPACE.result, 5):
        assert (type(config["warmup"]), type(config["lr"])) == (int, float)
        assert {type(option) for name, option in config["arch"].items() if name != "head"} == {int}


def test_it_learns_from_evaluations_that_it_did_not_ask_for() -> None:
    """Also of conditional decisions and of hyperparameters: of categories, numbers and ranges."""
    space, rng = ToySpace(n_layers=4), np.random.default_rng(0)
    domains = {"kind": tune.choice(["a", "b"]), "lr": tune.loguniform(1e-3, 1e-1), "warmup": tune.randint(0, 9)}
    searcher = HyperOpt(n_initial=5).searcher(space, costs={}, hyperparameters=domains)

    def score(point: Architecture) -> float:
        return space.accuracy(searcher.space.architecture(point)) + (point["kind"] == "b")

    def evaluation(point: Architecture) -> Evaluation:
        own = {name: point[name] for name in domains}
        return Evaluation(searcher.space.architecture(point), {"accuracy": score(point)}, hyperparameters=own)

    drawn = [searcher.space.sample(rng) for _ in range(60)]
    searcher.warm_start(map(evaluation, drawn))
    proposed = [searcher.propose() for _ in range(20)]
    assert np.mean([score(p) for p in proposed if p]) > np.mean([score(p) for p in drawn]) + 0.3


def test_one_objective_only() -> None:
    with pytest.raises(ValueError, match="HyperOpt takes one objective; use Optuna or RegularizedEvolution"):
        HyperOpt().searcher(SPACE, ["accuracy", "params"], costs={})


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="n_initial >= 1, got 0"):
        HyperOpt(n_initial=0)
