"""Zero-cost scores as a start, as a prior and as features."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray import tune

from raynas.core.architecture import Architecture
from raynas.core.searcher import ArchitectureSearcher
from raynas.errors import UnknownNameError
from raynas.strategies import BANANAS, BoostedTrees, Strategy
from raynas.strategies.predictors.base import PredictorStrategy
from raynas.strategies.predictors.gaussian_process import GaussianProcessPredictor
from raynas.strategies.predictors.predictor import Predictor
from raynas.strategies.predictors.searcher import PredictorSearcher
from raynas.strategies.predictors.zero_cost_screen import USES, Use
from raynas.testing import StrategyContract, ToySpace, run_trials

SPACE = ToySpace(n_layers=7, n_options=4)
"""Of 20,480 members."""


Cost = Callable[[Architecture], float]


@dataclass(frozen=True, kw_only=True)
class Informed(PredictorStrategy):
    n_initial: int = 5
    acquisition: Any = "ucb"

    def make_predictor(self) -> Predictor:
        return GaussianProcessPredictor()


def noise(arch: Mapping[str, Any]) -> float:
    """The same for the same architecture, standard normal."""
    return float(np.random.default_rng(int(Architecture(arch).key[:12], 16)).standard_normal())


def good(arch: Architecture) -> float:
    """The accuracy has a standard deviation of 0.14."""
    return SPACE.accuracy(arch) + 0.1 * noise(arch)


class Counted:
    """A cost, and the architectures that it was asked about."""

    def __init__(self, cost: Cost) -> None:
        self.cost = cost
        self.asked: list[Architecture] = []

    def __call__(self, arch: Architecture) -> float:
        self.asked.append(arch)
        return self.cost(arch)


def searched(
    strategy: Strategy, cost: Cost, n_trials: int, seed: int = 0, space: ToySpace = SPACE
) -> PredictorSearcher:
    searcher = strategy.searcher(space, seed=seed, costs={"proxy": cost})
    assert isinstance(searcher, PredictorSearcher) and searcher.screen is not None
    run_trials(searcher, space.result, n_trials)
    return searcher


@dataclass(frozen=True)
class Rugged(ToySpace):
    """Half of the score is of the architecture alone: nothing that is like it tells."""

    n_layers: int = 4
    n_options: int = 4

    def accuracy(self, arch: Mapping[str, Any]) -> float:
        return 0.5 * super().accuracy(arch) + 0.5 * own(arch)


def own(arch: Mapping[str, Any]) -> float:
    """In [0, 1]."""
    return 1 / (1 + math.exp(-2 * noise(arch)))


def nearly(arch: Architecture) -> float:
    """What a zero-cost proxy can tell of it; the rest has a standard deviation of 0.05, its own share of 0.16."""
    return 0.5 * own(arch) + 0.05 * noise({**arch, "and": "another"})


def nonsense(arch: Architecture) -> float:
    return noise({**arch, "no": "sense"})


def mean_best(strategy: Strategy, cost: Cost, n_trials: int = 14, n_seeds: int = 4) -> float:
    space, bests = Rugged(), []
    for seed in range(n_seeds):
        searcher = strategy.searcher(space, seed=seed, costs={"proxy": cost})
        bests.append(max(space.accuracy(c["arch"]) for c in run_trials(searcher, space.result, n_trials)))
    return float(np.mean(bests))


def test_it_starts_with_the_best_of_those_that_are_scored() -> None:
    cost = Counted(good)
    searcher = searched(Informed(zero_cost=["proxy"], n_zero_cost=50), cost, 5)
    assert len(cost.asked) == len(set(cost.asked)) == 50
    tried = [SPACE.from_config(record["config"]) for record in searcher.archive.events("proposed")]
    assert tried == sorted(cost.asked, key=good, reverse=True)[:5]


def test_a_good_proxy_helps() -> None:
    without = mean_best(Informed(), nearly)
    for use in USES:
        strategy = Informed(zero_cost=["proxy"], zero_cost_as=use, n_zero_cost=40)
        assert mean_best(strategy, nearly) > without + 0.05, use


@pytest.mark.parametrize("use", USES)
def test_nonsense_does_no_harm(use: Use) -> None:
    """As good as without, see the test of the Gaussian process."""
    space = ToySpace(n_layers=5, n_options=4)  # of 1,280 members
    strategy = Informed(zero_cost=["proxy"], zero_cost_as=use, n_zero_cost=40)
    searcher = searched(strategy, nonsense, 25, space=space)
    assert max(e.metrics["accuracy"] for e in searcher.archive.evaluations) >= 0.93


@pytest.mark.parametrize("strategy", [BANANAS(n_steps=30, n_more_steps=10, width=16), BoostedTrees(n_trees=10)])
@pytest.mark.parametrize("use", USES)
def test_it_works_with_every_predictor(strategy: PredictorStrategy, use: Use) -> None:
    informed = type(strategy)(**{**vars(strategy), "zero_cost": ("proxy",), "zero_cost_as": use, "n_zero_cost": 20})
    space = ToySpace(n_layers=4, n_options=3)
    searcher = searched(informed, good, 14, space=space)
    archs = [space.from_config(record["config"]) for record in searcher.archive.events("proposed")]
    assert len(set(archs)) == 14
    n_scored = len(searcher.archive.events("scored"))
    assert n_scored == 20 if use == "start" else 20 < n_scored <= 20 + 9 * 5


def test_what_is_proposed_was_scored() -> None:
    for use in ("prior", "features"):
        cost = Counted(good)
        searcher = searched(Informed(zero_cost=["proxy"], n_zero_cost=12, zero_cost_as=use), cost, 15)
        asked = set(cost.asked)
        assert len(cost.asked) == len(asked)  # never twice
        assert {e.arch for e in searcher.archive.evaluations} <= asked
        assert len(asked) <= 12 + 10 * 3  # at the start, and in ten fits


def test_more_is_scored_when_all_that_was_is_being_tried() -> None:
    """Between two fits: three candidates are scored for twelve proposals."""
    cost = Counted(good)
    searcher = searched(Informed(zero_cost=["proxy"], n_zero_cost=12), cost, 10)
    batch = [SPACE.from_config(searcher.suggest(f"next {i}")) for i in range(12)]
    assert len(set(batch)) == 12 and set(batch) <= set(cost.asked)


@pytest.mark.parametrize("failure", [float("nan"), float("inf"), RuntimeError("dead")])
def test_scores_that_fail_are_the_worst(failure: Any) -> None:
    def broken(arch: Architecture) -> float:
        if arch["layers.0"] != 2:
            return good(arch)
        if isinstance(failure, Exception):
            raise failure
        return float(failure)

    searcher = searched(Informed(zero_cost=["proxy"], n_zero_cost=50), broken, 12)
    tried = [e.arch for e in searcher.archive.evaluations]
    assert all(arch["layers.0"] != 2 for arch in tried[:5])
    assert max(map(SPACE.accuracy, tried)) > 0.6


@pytest.mark.parametrize("use", USES)
def test_a_resumed_search_scores_nothing_again(use: Use, tmp_path: Path) -> None:
    strategy = Informed(zero_cost=["proxy"], zero_cost_as=use, n_zero_cost=20)
    searcher = searched(strategy, good, 12)
    searcher.save(str(tmp_path / "archive"))
    cost = Counted(good)
    restored = strategy.searcher(SPACE, costs={"proxy": cost})
    restored.restore(str(tmp_path / "archive"))
    assert restored.n_replayed_exactly == 12 and not cost.asked
    assert run_trials(restored, SPACE.result, 15) == run_trials(searcher, SPACE.result, 15)
    assert bool(cost.asked) == (use != "start")


def test_scores_are_of_the_architecture_without_hyperparameters() -> None:
    cost = Counted(good)
    domains = {"lr": tune.loguniform(1e-4, 1e-1)}
    searcher = Informed(zero_cost=["proxy"], n_zero_cost=10).searcher(
        SPACE, hyperparameters=domains, costs={"proxy": cost}
    )
    run_trials(searcher, SPACE.result, 12)
    assert all(SPACE.canonical(arch) == arch for arch in cost.asked)
    assert len(cost.asked) == len(set(cost.asked))


def test_a_constraint_that_only_trials_tell_is_still_learned() -> None:
    """The proxy leads to where it is broken."""
    strategy = Informed(zero_cost=["proxy"], n_zero_cost=40)
    searcher = strategy.searcher(SPACE, "accuracy", "params <= 9000", costs={"proxy": good})
    run_trials(searcher, SPACE.result, 35)
    late = searcher.archive.evaluations[20:]
    assert np.mean([e.metrics["params"] <= 9000 for e in late]) > 0.6


@pytest.mark.parametrize("most", [0, 20_000], ids=["sampled", "whole space"])
def test_what_breaks_a_limit_that_shapes_tell_is_not_scored(most: int) -> None:
    """6 of the 1,280 members comply."""
    space, scored = ToySpace(n_layers=5), Counted(good)
    strategy = Informed(zero_cost=("proxy",), n_zero_cost=8, max_enumerated=most)
    costs: dict[str, Cost] = {"proxy": scored, "params": space.params}
    searcher = strategy.searcher(space, constraints="params <= 2000", costs=costs, seed=0)
    assert len(run_trials(searcher, space.result, 6)) == 6
    assert scored.asked and all(space.params(arch) <= 2000 for arch in scored.asked)


def test_unknown_metrics_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="'naswott'; did you mean 'naswot'"):
        Informed(zero_cost=["naswott"]).searcher(SPACE, costs={"naswot": good})


class TestContract(StrategyContract):
    @pytest.fixture
    def strategy(self) -> Strategy:
        return Informed(zero_cost=("proxy",), n_zero_cost=4)

    def searcher(self, strategy: Strategy, space: ToySpace | None = None, **arguments: Any) -> ArchitectureSearcher:
        costs = {**arguments.pop("costs", {}), "proxy": noise}
        return super().searcher(strategy, space, costs=costs, **arguments)
