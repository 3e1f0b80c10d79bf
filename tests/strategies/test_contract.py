from collections.abc import Mapping

import pytest

from raynas.strategies import (
    BANANAS,
    MCTS,
    NASBOWL,
    NSGA2,
    PPO,
    STRATEGIES,
    BoostedTrees,
    ByBudget,
    GaussianProcess,
    GeneticAlgorithm,
    GraphNetwork,
    GridSearch,
    HyperOpt,
    LaNAS,
    LocalSearch,
    Optuna,
    Portfolio,
    Progressive,
    QLearning,
    RandomSearch,
    RegularizedEvolution,
    Reinforce,
    Strategy,
)
from raynas.testing import StrategyContract

# Small enough to leave the initial phase within the contract's few trials.
VARIANTS: Mapping[str, Strategy] = {
    "auto": ByBudget(),
    "bananas": BANANAS(n_initial=5, n_networks=3, depth=1, width=16, n_steps=30, n_more_steps=10),
    "boosted trees": BoostedTrees(n_initial=5, n_models=2, n_trees=10),
    "evolution": RegularizedEvolution(population_size=8, tournament_size=3),
    "evolution, crossover": RegularizedEvolution(population_size=8, tournament_size=3, crossover_prob=0.5),
    "genetic": GeneticAlgorithm(population_size=8, n_elites=2),
    "gp": GaussianProcess(),
    "gp, sampled": GaussianProcess(acquisition="thompson", max_enumerated=0, n_candidates=60),
    "gnn": GraphNetwork(n_initial=5, n_networks=2, depth=1, width=12, n_steps=40, n_more_steps=8),
    "gnn, sampled": GraphNetwork(
        n_initial=5,
        n_networks=2,
        depth=1,
        width=12,
        n_steps=40,
        n_more_steps=8,
        loss="ranking",
        max_enumerated=0,
        n_candidates=60,
    ),
    "grid": GridSearch(),
    "hyperopt": HyperOpt(n_initial=5),
    "lanas": LaNAS(n_initial=8, n_per_tree=2, min_members=3),
    "local": LocalSearch(n_initial=2),
    "local, best": LocalSearch(n_initial=2, first_improvement=False),
    "mcts": MCTS(),
    "mcts, another order": MCTS(order=("layers.1", "layers.0")),
    "nas-bowl": NASBOWL(n_initial=5, max_height=1, kernel="assignment"),
    "nas-bowl, smooth": NASBOWL(n_initial=5, max_height=1, max_enumerated=0, n_candidates=60),
    "nas-bowl, sampled": NASBOWL(n_initial=5, max_height=1, kernel="subtree", max_enumerated=0, n_candidates=60),
    "nsga2": NSGA2(population_size=8),
    "optuna": Optuna(n_initial=5),
    "optuna, nsga2": Optuna(sampler="nsga2", n_initial=5),
    "portfolio": Portfolio(stages=("random 4", "gp 40%", "local"), n_trials=16),
    "portfolio, waiting and adapted": Portfolio(stages=("random 3", "optuna 3", "local 4", "evolution")),
    "ppo": PPO(batch_size=4),
    "progressive": Progressive(beam_size=3, n_first=8),
    "q-learning": QLearning(budget=30),
    "random": RandomSearch(),
    "reinforce": Reinforce(batch_size=4),
}
POLICY = {"several objectives": "learns from one reward", "continuous": "decides between options"}
LIMITS: Mapping[type[Strategy], Mapping[str, str]] = {
    GridSearch: {
        "seed": "goes in order",
        "beat random": "goes in order, so that the best may come last",
        "continuous": "cannot enumerate the reals",
    },
    HyperOpt: {"several objectives": "its TPE takes one"},
    LaNAS: {"several objectives": "learns from one reward"},
    MCTS: POLICY,
    PPO: POLICY,
    Progressive: POLICY,
    QLearning: POLICY,
    RandomSearch: {"beat random": "is random search"},
    Reinforce: POLICY,
}


def test_every_strategy_is_under_contract() -> None:
    assert {type(strategy) for strategy in VARIANTS.values()} == set(STRATEGIES.values())


@pytest.mark.parametrize("strategy", VARIANTS.values(), ids=VARIANTS)
class TestStrategies(StrategyContract):
    @pytest.fixture
    def limits(self, strategy: Strategy) -> Mapping[str, str]:
        return LIMITS.get(type(strategy), {})
