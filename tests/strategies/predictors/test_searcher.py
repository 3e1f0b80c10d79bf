"""The searcher of all strategies with a predictor, here with the Gaussian process."""

import math
import zlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.space import SearchSpace
from raynas.strategies import GaussianProcess
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.predictor import Posterior, Predictor
from raynas.strategies.predictors.searcher import PredictorSearcher
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=3, n_options=4)


class TwinSpace(ToySpace):
    """Only the sum of the options matters, and the space knows it."""

    def function_key(self, arch: Architecture) -> Hashable:
        return self.accuracy(arch)

    def features(self, arch: Architecture) -> Mapping[str, NDArray[np.float64]]:
        return {**super().features(arch), "sum": np.array([self.accuracy(arch)])}


def made(space: SearchSpace = SPACE, goal: Goal | None = None, **settings: Any) -> PredictorSearcher:
    searcher = GaussianProcess(**settings).make_searcher(space, goal or Goal(), seed=0)
    assert isinstance(searcher, PredictorSearcher)
    return searcher


def observed(searcher: PredictorSearcher, n: int, **limits: Any) -> None:
    rng = np.random.default_rng(1)
    for _ in range(n):
        arch = searcher.space.sample(rng)
        assert isinstance(searcher.space, ToySpace)
        metrics = {"accuracy": searcher.space.accuracy(arch), "params": searcher.space.params(arch)}
        searcher.observe(Evaluation(arch, metrics, **limits))


def test_no_trial_for_a_twin() -> None:
    space = TwinSpace(n_layers=4, n_options=3)
    n_functions = len({space.accuracy(arch) for arch in space.enumerate()})
    searcher = GaussianProcess().searcher(space, costs={})
    configs = run_trials(searcher, space.result, 100)
    assert len(configs) == n_functions < space.size
    assert searcher.ended_because == "the strategy has nothing more to propose"


def test_twins_are_told_apart_where_costs_count() -> None:
    space = TwinSpace(n_layers=2, n_options=3)
    searcher = GaussianProcess().searcher(space, "accuracy", "params <= 1e9", costs={})
    assert len(run_trials(searcher, space.result, 100)) == space.size


def test_a_constraint_that_only_trials_tell_is_learned() -> None:
    """Half of the space breaks it, all that the objective alone would choose."""
    space = ToySpace(n_layers=5, n_options=4)
    searcher = GaussianProcess().searcher(space, "accuracy", "params <= 8000", costs={})
    run_trials(searcher, space.result, 40)
    late = searcher.archive.evaluations[15:]
    assert np.mean([e.metrics["params"] <= 8000 for e in late]) > 0.7
    best = searcher.goal.best(searcher.archive.evaluations)
    assert best is not None and best.metrics["params"] == 8000


def test_refusals_teach_the_costs() -> None:
    """Of a thousand members five comply, and the objective leads away from them."""
    space = ToySpace(n_layers=5, n_options=4)
    searcher = GaussianProcess().searcher(space, "accuracy", "params <= 2000", costs={"params": space.params})
    feasible = [arch for arch in space.enumerate() if space.params(arch) <= 2000]
    configs = run_trials(searcher, space.result, len(feasible))
    assert {space.from_config(config) for config in configs} == set(feasible)


def test_a_soft_constraint_moves_the_choice() -> None:
    space = ToySpace(n_layers=4, n_options=4)
    bests = []
    for constraints in ((), "params <= 3000 soft"):
        searcher = GaussianProcess().searcher(space, "accuracy", constraints, costs={})
        run_trials(searcher, space.result, 30)
        (best, *_) = searcher.goal.sort(searcher.archive.evaluations)
        bests.append(best.metrics["params"])
    assert bests[1] <= bests[0]


def test_several_objectives_spread_over_the_front() -> None:
    space = ToySpace(n_layers=4, n_options=4)
    searcher = GaussianProcess().searcher(space, ["accuracy", "min:params"], costs={})
    run_trials(searcher, space.result, 40)
    front = searcher.goal.pareto_front(searcher.archive.evaluations)
    assert len({e.metrics["params"] for e in front}) >= 10  # of 13 levels
    assert min(e.metrics["params"] for e in front) <= 2000 and max(e.metrics["params"] for e in front) >= 12000


def test_a_batch_is_spread() -> None:
    searcher = made(ToySpace(n_layers=5, n_options=4))
    observed(searcher, 20)
    batch = [searcher.suggest(str(i)) for i in range(8)]
    archs = [searcher.space.from_config(config) for config in batch]
    assert len(set(archs)) == 8
    assert len({arch["layers.2"] for arch in archs}) >= 2


def chance(arch: Architecture) -> float:
    return zlib.crc32(arch.to_json().encode()) / 2**32


def neighbours_of_the_best(searcher: PredictorSearcher, n: int) -> int:
    """Count the proposals of n that differ in one decision from one of the two best, for scores that are chance."""
    best = [e.arch for e in searcher.goal.sort(searcher._seen.values())[:2]]
    near = {arch for parent in best for arch in searcher.space.neighbours(parent)}
    return sum(searcher.propose() in near for _ in range(n))


@pytest.mark.parametrize(("local_share", "least", "most"), [(0.0, 0, 0), (0.5, 10, 60), (1.0, 40, 100)])
def test_the_less_is_explained_the_more_is_mutated(local_share: float, least: int, most: int) -> None:
    searcher = made(ToySpace(n_layers=8, n_options=5), local_share=local_share)
    rng = np.random.default_rng(2)
    for arch in [searcher.space.sample(rng) for _ in range(40)]:
        searcher.observe(Evaluation(arch, {"accuracy": chance(arch)}))
    assert least <= neighbours_of_the_best(searcher, 100) <= most


def test_a_model_that_explains_is_trusted() -> None:
    searcher = made(ToySpace(n_layers=4, n_options=5), local_share=1.0)
    observed(searcher, 40)
    assert len({searcher.propose() for _ in range(10)}) <= 2


def test_failures_teach_nothing_and_are_not_repeated() -> None:
    searcher = made()
    for arch in list(SPACE.enumerate())[:20]:
        searcher.observe(Evaluation(arch, {}, status="failed"))
    observed(searcher, 10)
    failed = set(list(SPACE.enumerate())[:20])
    configs = [searcher.suggest(str(i)) for i in range(12)]
    assert not failed & {SPACE.from_config(config) for config in configs}
    assert len(searcher.objective.evaluations) == len(searcher._seen) - len(failed - searcher.objective._known)


def test_beyond_the_limit_the_better_half_and_the_latest_stay() -> None:
    searcher = made(ToySpace(n_layers=6, n_options=4), max_observations=20)
    observed(searcher, 200)
    assert searcher.propose() is not None
    kept = searcher.objective.evaluations
    everyone = searcher.goal.sort(searcher._seen.values())
    assert len(kept) == 20
    assert {e.arch for e in everyone[:10]} <= {e.arch for e in kept}
    assert list(searcher._seen.values())[-1] in kept


class Counter(Predictor):
    """Predicts nothing, and counts what it is asked to learn from."""

    def __init__(self) -> None:
        self.learned: list[int] = []

    def fit(
        self, pool: CandidatePool, observed: Sequence[int], targets: NDArray[Any], rng: np.random.Generator
    ) -> None:
        self.learned.append(len(observed))

    def posterior(
        self, pool: CandidatePool, targets: NDArray[Any], pending: Sequence[int], rng: np.random.Generator
    ) -> Posterior:
        return Posterior(np.zeros(len(pool)), np.ones(len(pool)))


def test_a_long_search_stays_affordable() -> None:
    """It learns ever more seldom, and from so many observations at most."""
    counter = Counter()
    searcher = PredictorSearcher(
        ToySpace(n_layers=5, n_options=4), seed=0, predictor=lambda: counter, max_observations=60
    )
    n_fits = []
    for n_trials in (100, 400, 800):
        run_trials(searcher, searcher.space.result, n_trials)  # type: ignore[attr-defined]
        n_fits.append(len(counter.learned))
    assert n_fits[0] <= 50 + 40 and n_fits[2] - n_fits[0] <= math.log(800 / 100) / math.log(1.02) + 1
    assert max(counter.learned) == 60
