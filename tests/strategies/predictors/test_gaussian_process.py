"""The Gaussian process, and what is common to all searches with a predictor."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import check_grad
from scipy.stats import norm

from raynas.core.architecture import Architecture
from raynas.core.decision import Categorical, Decision
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.space import SearchSpace
from raynas.strategies import GaussianProcess
from raynas.strategies.predictors.gaussian_process import GaussianProcessPredictor, Kernel, _loss, _squared_distances
from raynas.strategies.predictors.predictor_search import (
    Belief,
    Pool,
    Predictor,
    PredictorSearcher,
    _margins,
    _warped,
    expected_improvement,
    thompson_sampling,
    upper_confidence_bound,
)
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=3, n_options=4)
RNG = np.random.default_rng(0)


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


def pool(space: SearchSpace = SPACE) -> Pool:
    found = Pool(space, lambda arch: arch)
    found.add(space.enumerate())
    return found


def exact(kernel: Kernel, given: Pool, observed: Sequence[int], targets: NDArray[Any]) -> tuple[Any, Any]:
    """Equations 2.25 and 2.26 of Rasmussen and Williams, as they stand."""
    seen = given.take(np.array(observed))
    inverse = np.linalg.inv(kernel(seen, seen) + kernel.noise * np.eye(len(observed)))
    across = kernel(seen, given.groups)
    variance = kernel.variance - np.einsum("ij,ik,kj->j", across, inverse, across)
    return across.T @ inverse @ targets, np.sqrt(variance)


def test_the_posterior_is_the_textbook_s() -> None:
    given, predictor, observed = pool(), GaussianProcessPredictor(), [3, 17, 40, 5, 5]
    targets = RNG.standard_normal(7)
    predictor.fit(given, observed, targets[:5], RNG)
    assert predictor.kernel is not None
    for added in (8, 3):  # one observation more at a time, one that was there already
        predictor.add(given, added)
    belief = predictor.believe(given, targets, [], RNG)
    mean, spread = exact(predictor.kernel, given, [*observed, 8, 3], targets)
    np.testing.assert_allclose(belief.mean, mean, atol=1e-6)
    np.testing.assert_allclose(belief.spread, spread, atol=1e-6)


def test_a_pool_may_grow() -> None:
    archs = list(SPACE.enumerate())
    given, predictor = Pool(SPACE, lambda arch: arch), GaussianProcessPredictor()
    given.add(archs[:30])
    targets = RNG.standard_normal(4)
    predictor.fit(given, [1, 7, 20], targets[:3], RNG)
    predictor.add(given, 25)
    given.add(archs)
    predictor.extend(given, [1, 7, 20, 25])
    belief = predictor.believe(given, targets, [], RNG)
    assert predictor.kernel is not None
    mean, spread = exact(predictor.kernel, given, [1, 7, 20, 25], targets)
    np.testing.assert_allclose(belief.mean, mean, atol=1e-6)
    np.testing.assert_allclose(belief.spread, spread, atol=1e-6)


def test_what_is_pending_is_not_doubted_again() -> None:
    given, predictor = pool(), GaussianProcessPredictor()
    targets = np.array([1.0, -1.0, 0.0])
    predictor.fit(given, [0, 30, 50], targets, RNG)
    before = predictor.believe(given, targets, [], RNG)
    after = predictor.believe(given, targets, [10], RNG)
    np.testing.assert_array_equal(after.mean, before.mean)
    assert after.spread[10] < 0.5 * before.spread[10] and (after.spread <= before.spread).all()
    np.testing.assert_array_equal(predictor.believe(given, targets, [], RNG).spread, before.spread)


def test_the_likelihood_has_the_gradient_that_it_says() -> None:
    groups = [RNG.random((12, 3)), RNG.random((12, 5))]
    squared = [_squared_distances(group, group) for group in groups]
    targets = RNG.standard_normal(12)
    theta = np.array([0.1, -0.5, 0.3, -0.2, -1.5])
    error = check_grad(lambda t: _loss(t, squared, targets)[0], lambda t: _loss(t, squared, targets)[1], theta)
    assert error < 1e-4
    fitted = Kernel.fitted(groups, targets, Kernel(theta))
    assert _loss(fitted.theta, squared, targets)[0] < _loss(theta, squared, targets)[0]


def test_a_group_that_does_not_matter_loses_its_weight() -> None:
    matters, noise = RNG.random((60, 1)), RNG.random((60, 1))
    fitted = Kernel.fitted([matters, noise], np.sin(6 * matters[:, 0]), Kernel.prior(2), max_iterations=50)
    changes = np.exp(fitted.theta[2:4]) / np.exp(fitted.theta[:2]) ** 2  # how much a group moves the target
    assert changes[0] > 10 * changes[1]


def test_expected_improvement_is_what_draws_improve() -> None:
    belief = Belief(np.array([0.0, 1.0, -1.0]), np.array([1.0, 0.1, 2.0]))
    draws = norm.rvs(belief.mean, belief.spread, size=(200_000, 3), random_state=0)
    expected = np.maximum(draws - 0.5, 0).mean(axis=0)
    np.testing.assert_allclose(expected_improvement(belief, 0.5, 1.0, RNG), expected, atol=0.01)


def test_the_other_acquisitions() -> None:
    belief = Belief(np.zeros(5000), np.full(5000, 2.0))
    assert (upper_confidence_bound(belief, 0.0, 1.5, RNG) == 3.0).all()
    drawn = thompson_sampling(belief, 0.0, 1.5, RNG)
    assert drawn.std() == pytest.approx(2, rel=0.05) and drawn.mean() == pytest.approx(0, abs=0.15)


def test_the_warp_keeps_the_order_and_stretches_the_top() -> None:
    gaps = np.array([0.0, 0.1, 0.2, 10.0, 70.0])
    warped = _warped(gaps)
    assert (np.diff(warped) < 0).all()
    assert warped.mean() == pytest.approx(0) and warped.std() == pytest.approx(1)
    assert (warped[0] - warped[2]) / (warped[0] - warped[4]) > 4 * 0.2 / 70
    assert (_warped(np.zeros(3)) == 0).all()


def observed(searcher: PredictorSearcher, n: int, **limits: Any) -> None:
    rng = np.random.default_rng(1)
    for _ in range(n):
        arch = searcher.space.sample(rng)
        assert isinstance(searcher.space, ToySpace)
        metrics = {"accuracy": searcher.space.accuracy(arch), "params": searcher.space.params(arch)}
        searcher.observe(Evaluation(arch, metrics, **limits))


def test_it_finds_the_optimum_of_a_sum_soon() -> None:
    space = ToySpace(n_layers=5, n_options=4)  # of 1,280 members
    for settings in ({}, {"max_enumerated": 0}, {"acquisition": "ei"}):
        searcher = GaussianProcess(**settings).searcher(space, costs={})
        configs = run_trials(searcher, space.result, 25)
        assert max(space.accuracy(config["arch"]) for config in configs) >= 0.93


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


def test_failures_teach_nothing_and_are_not_repeated() -> None:
    searcher = made()
    for arch in list(SPACE.enumerate())[:20]:
        searcher.observe(Evaluation(arch, {}, status="failed"))
    observed(searcher, 10)
    failed = set(list(SPACE.enumerate())[:20])
    configs = [searcher.suggest(str(i)) for i in range(12)]
    assert not failed & {SPACE.from_config(config) for config in configs}
    assert len(searcher._scored.evaluations) == len(searcher._seen) - len(failed - searcher._scored._known)


def test_beyond_the_limit_the_better_half_and_the_latest_stay() -> None:
    searcher = made(ToySpace(n_layers=6, n_options=4), max_observations=20)
    observed(searcher, 200)
    assert searcher.propose() is not None
    kept = searcher._scored.evaluations
    everyone = searcher.goal.sort(searcher._seen.values())
    assert len(kept) == 20
    assert {e.arch for e in everyone[:10]} <= {e.arch for e in kept}
    assert list(searcher._seen.values())[-1] in kept


class Counter(Predictor):
    """Predicts nothing, and counts what it is asked to learn from."""

    def __init__(self) -> None:
        self.learned: list[int] = []

    def fit(self, pool: Pool, observed: Sequence[int], targets: NDArray[Any], rng: np.random.Generator) -> None:
        self.learned.append(len(observed))

    def believe(self, pool: Pool, targets: NDArray[Any], pending: Sequence[int], rng: np.random.Generator) -> Belief:
        return Belief(np.zeros(len(pool)), np.ones(len(pool)))


def test_a_long_search_stays_affordable() -> None:
    """It learns ever more seldom, and from so many observations at most."""
    counter = Counter()
    searcher = PredictorSearcher(
        ToySpace(n_layers=5, n_options=4), seed=0, make_predictor=lambda: counter, max_observations=60
    )
    n_fits = []
    for n_trials in (100, 400, 800):
        run_trials(searcher, searcher.space.result, n_trials)  # type: ignore[attr-defined]
        n_fits.append(len(counter.learned))
    assert n_fits[0] <= 50 + 40 and n_fits[2] - n_fits[0] <= math.log(800 / 100) / math.log(1.02) + 1
    assert max(counter.learned) == 60


class Cells(SearchSpace):
    input_shape = (1,)

    @property
    def decisions(self) -> Sequence[Decision]:
        return [Categorical("a", ("x", "y"))]

    def build(self, arch: Architecture) -> Any:
        raise NotImplementedError


def test_features_default_to_the_encoding() -> None:
    arch = Architecture({"a": "y"})
    features = Cells().features(arch)
    assert list(features) == ["decisions"] and list(features["decisions"]) == [0, 1]
    assert Cells().function_key(arch) == arch


def test_margins_of_costs_are_logarithmic() -> None:
    goal = Goal.parse("accuracy", ["params <= 100", "score >= -1"])
    told = [Evaluation(Architecture({"a": i}), {"params": 10.0**i, "score": -float(i)}) for i in range(1, 4)]
    margins, zero = _margins(goal.constraints[0], told)
    assert list(margins) == pytest.approx([math.sqrt(1.5), 0, -math.sqrt(1.5)]) and zero == pytest.approx(0)
    margins, zero = _margins(goal.constraints[1], told)
    assert (margins >= zero - 1e-9).tolist() == [True, False, False]


def test_hyperparameters_stay_where_nothing_overflows() -> None:
    """A line search from an odd start used to try lengths of e⁻⁸⁰⁰ and weights of e⁸⁰⁰."""
    rng = np.random.default_rng(0)
    groups = [rng.standard_normal((12, 3)), np.zeros((12, 2))]
    for targets in (1e3 * rng.standard_normal(12), np.zeros(12)):
        theta = Kernel.fitted(groups, targets, Kernel.prior(2), max_iterations=100).theta
        prior = Kernel.prior(2).theta
        assert (np.abs(theta - prior) <= 4.0 * np.array([0.7, 0.7, 1.0, 1.0, 0.5]) + 1e-9).all()


def test_golden_trajectory() -> None:
    searcher = GaussianProcess().searcher(SPACE, costs={}, seed=0)
    configs = run_trials(searcher, SPACE.result, 10)
    assert [" ".join(map(str, config["arch"].values())) for config in configs] == [
        "3 2 2 linear",
        "3 0 1 linear",
        "2 1 3",
        "1 1 0",
        "1 2 0",
        "3 3 3 cosine",  # the best, as soon as there is a model
        "0 3 3",
        "3 3 3 linear",
        "3 3 1 cosine",
        "3 2 3 cosine",
    ]
