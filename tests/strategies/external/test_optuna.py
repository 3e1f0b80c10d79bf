import json
import warnings
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler
from ray import tune
from ray.tune.search.optuna import OptunaSearch

from raynas.core.architecture import Architecture
from raynas.strategies import Optuna, RandomSearch
from raynas.strategies.external.optuna import OptunaSearcher
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=4, n_options=4)


def made(sampler: Any = "tpe", n_initial: int = 4, **arguments: Any) -> OptunaSearcher:
    searcher = Optuna(sampler=sampler, n_initial=n_initial).searcher(SPACE, costs={}, **arguments)
    assert isinstance(searcher, OptunaSearcher)
    return searcher


def study(searcher: OptunaSearcher) -> optuna.Study:
    inner: Any = searcher._inner
    assert isinstance(inner._ot_study, optuna.Study)
    return inner._ot_study


def plain(sampler: BaseSampler, n_suggestions: int) -> list[Architecture]:
    """What Tune's own OptunaSearch suggests for the same scores."""
    domains = OptunaSearch.convert_search_space({"arch": SPACE.param_space()})
    search = OptunaSearch(domains, metric="accuracy", mode="max", sampler=sampler)
    suggested = []
    for i in range(n_suggestions):
        config = search.suggest(str(i))
        assert config is not None
        suggested.append(SPACE.from_config(config))
        search.on_trial_complete(str(i), SPACE.result(SPACE.to_config(suggested[-1])))
    return suggested


@pytest.mark.parametrize(
    ("name", "sampler"),
    [
        ("tpe", lambda: TPESampler(seed=1, n_startup_trials=4)),
        ("nsga2", lambda: NSGAIISampler(seed=1, population_size=4)),
        ("gp", lambda: GPSampler(seed=1, n_startup_trials=4)),
    ],
)
def test_golden_trajectory(name: str, sampler: Any) -> None:
    """The proposals are those of Tune's OptunaSearch with the same sampler, as long as it does not repeat itself.

    Not written down, because every version of Optuna has its own.
    """
    searcher = made(name, seed=1)
    proposed = []
    for trial in range(8):
        config = searcher.suggest(str(trial))
        searcher.on_trial_complete(str(trial), SPACE.result(config))
        proposed.append(SPACE.from_config(config))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        suggested = plain(sampler(), 20)
    assert proposed == list(dict.fromkeys(suggested))[:8]


@pytest.mark.parametrize("name", ["tpe", "nsga2", "gp"])
def test_constraints_reach_optuna(name: Any) -> None:
    """Those on trained metrics too; what Optuna did not ask for has them as well."""
    first = {f"layers.{i}": 1 for i in range(4)}
    searcher = made(name, constraints=["params <= 4000", "accuracy >= 0.5"], points_to_evaluate=[first])
    run_trials(searcher, SPACE.result, 8)
    told = {SPACE.from_config(_config(trial)): trial.system_attrs["constraints"] for trial in study(searcher).trials}
    assert len(told) == 8 and Architecture(first) in told
    for arch, violations in told.items():
        params, accuracy = SPACE.params(arch), SPACE.accuracy(arch)
        assert list(violations) == pytest.approx([max(params - 4000, 0) / 4000, max(0.5 - accuracy, 0) / 0.5])
    assert any(sum(violations) > 0 for violations in told.values())


def _config(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    return {"arch": {name[5:]: option for name, option in trial.params.items() if name.startswith("arch/")}}


def test_constraints_are_learned_from() -> None:
    """After its random start it proposes more of what complies than random search does."""

    space = ToySpace()

    def share(strategy: Any) -> float:
        complying = []
        for seed in range(3):
            searcher = strategy.searcher(space, "accuracy", "params <= 7000", costs={}, seed=seed)
            configs = run_trials(searcher, space.result, 24)
            complying += [space.params(config["arch"]) <= 7000 for config in configs[8:]]
        return float(np.mean(complying))

    assert share(Optuna(n_initial=8)) > share(RandomSearch()) + 0.2


def test_without_hard_constraints_optuna_gets_none() -> None:
    searcher = made(constraints="params <= 1 soft")
    run_trials(searcher, SPACE.result, 2)
    assert [trial.system_attrs.get("constraints") for trial in study(searcher).trials] == [None, None]


@pytest.mark.parametrize("objectives", [["accuracy"], ["accuracy", "params"]])
@pytest.mark.parametrize("hyperparameters", [{}, {"lr": tune.loguniform(1e-3, 1e-1), "epochs": 3}])
def test_learns_from_what_it_did_not_ask_for(objectives: list[str], hyperparameters: dict[str, Any]) -> None:
    earlier = RandomSearch().searcher(SPACE, objectives, costs={}, hyperparameters=hyperparameters)
    configs = run_trials(earlier, SPACE.result, 5)
    searcher = made(objectives=objectives, hyperparameters=hyperparameters)
    searcher.warm_start(earlier.archive.evaluations)
    searcher.warm_start(earlier.archive.evaluations)
    trials = study(searcher).trials
    assert [trial.values for trial in trials] == [
        [SPACE.accuracy(config["arch"]), -SPACE.params(config["arch"])][: len(objectives)] for config in configs
    ]
    for trial, config in zip(trials, configs, strict=True):
        assert SPACE.from_config(_config(trial)) == SPACE.from_config(config)
        assert trial.params.get("lr") == config.get("lr") and "epochs" not in trial.params


def test_failures_do_not_count_as_scores() -> None:
    searcher = made()
    searcher.suggest("1")
    searcher.on_trial_complete("1", {"accuracy": float("nan")})
    searcher.observe(searcher.archive.evaluations[0])
    assert [trial.state.name for trial in study(searcher).trials] == ["FAIL"]


def test_the_gaussian_process_is_under_contract_too() -> None:
    """In short, because it is slow: reproducible, without repetition, and the same after a restart."""
    searcher = made("gp")
    configs = run_trials(searcher, SPACE.result, 10)
    assert len({SPACE.from_config(config) for config in configs}) == 10
    restored = made("gp")
    restored.replay(json.loads(json.dumps(list(searcher.archive))))
    assert restored.n_replayed_exactly == 10
    assert restored.suggest("next") == searcher.suggest("next")


@pytest.mark.parametrize(("sampler", "n_initial"), [("cmaes", 10), ("", 10), ("tpe", 0)])
def test_settings_are_checked(sampler: Any, n_initial: int) -> None:
    with pytest.raises(ValueError, match=r"a sampler of tpe, gp, nsga2 and n_initial >= 1, got .* and \d+"):
        Optuna(sampler=sampler, n_initial=n_initial)
