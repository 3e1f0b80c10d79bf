from collections.abc import Mapping

import pytest

from raynas.strategies import (
    STRATEGIES,
    GridSearch,
    HyperOpt,
    LocalSearch,
    Optuna,
    RandomSearch,
    RegularizedEvolution,
    Strategy,
)
from raynas.testing import StrategyContract

# Small enough to leave the initial phase within the contract's few trials.
VARIANTS: Mapping[str, Strategy] = {
    "evolution": RegularizedEvolution(population_size=8, tournament_size=3),
    "evolution, crossover": RegularizedEvolution(population_size=8, tournament_size=3, crossover_prob=0.5),
    "grid": GridSearch(),
    "hyperopt": HyperOpt(n_initial=5),
    "local": LocalSearch(n_initial=2),
    "local, best": LocalSearch(n_initial=2, first_improvement=False),
    "optuna": Optuna(n_initial=5),
    "optuna, nsga2": Optuna(sampler="nsga2", n_initial=5),
    "random": RandomSearch(),
}
LIMITS: Mapping[type[Strategy], Mapping[str, str]] = {
    GridSearch: {
        "seed": "goes in order",
        "beat random": "goes in order, so that the best may come last",
        "continuous": "cannot enumerate the reals",
    },
    HyperOpt: {"several objectives": "its TPE takes one"},
    RandomSearch: {"beat random": "is random search"},
}


def test_every_strategy_is_under_contract() -> None:
    assert {type(strategy) for strategy in VARIANTS.values()} == set(STRATEGIES.values())


@pytest.mark.parametrize("strategy", VARIANTS.values(), ids=VARIANTS)
class TestStrategies(StrategyContract):
    @pytest.fixture
    def limits(self, strategy: Strategy) -> Mapping[str, str]:
        return LIMITS.get(type(strategy), {})
