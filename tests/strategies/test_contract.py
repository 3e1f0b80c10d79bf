from collections.abc import Mapping, Sequence

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
from raynas.testing import StrategyContract, ToySpace, run_trials

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

    @pytest.fixture(autouse=True)
    def few_steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The networks of ``Progressive`` have no settings."""
        monkeypatch.setattr("raynas.strategies.predictors.fold_ensemble.N_STEPS", 60)


# The others have theirs in their own files. The first five are random, with the same seed.
GOLDEN: Mapping[str, Sequence[str]] = {
    "bananas": ("3 2 3 linear", "3 3 3 cosine", "3 3 3 linear", "3 3 2 cosine"),
    "boosted trees": ("3 0 2 linear", "3 2 2 cosine", "3 3 2 cosine", "3 3 3 cosine"),
    "gnn": ("0 0 2", "0 1 2", "3 2 1 linear", "0 3 3"),
    "nas-bowl": ("3 2 2 cosine", "3 3 2 cosine", "2 3 2", "3 3 3 cosine"),
    "nas-bowl, smooth": ("3 3 2 linear", "3 3 2 cosine", "3 3 1 cosine", "3 1 2 cosine"),
    "portfolio": ("3 3 3 cosine", "3 0 3 cosine", "3 3 3 linear", "2 3 3"),
}


@pytest.mark.parametrize(("name", "golden"), GOLDEN.items(), ids=GOLDEN)
def test_golden_trajectory(name: str, golden: Sequence[str]) -> None:
    space = ToySpace(n_layers=3, n_options=4)
    configs = run_trials(VARIANTS[name].searcher(space, costs={}, seed=0), space.result, 9)
    assert tuple(" ".join(map(str, config["arch"].values())) for config in configs[5:]) == golden
