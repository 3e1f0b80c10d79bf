"""The graph neural network, on cells of NAS-Bench-201 and on chains of decisions."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.search_spaces import NASBench201
from raynas.strategies import GraphNetwork
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.gnn import GraphNetworkPredictor
from raynas.strategies.predictors.searcher import PredictorSearcher
from raynas.testing import ToySpace, run_trials

SPACE = NASBench201()


SMALL = GraphNetwork(n_initial=5, n_networks=3, depth=2, width=16, n_steps=60, n_more_steps=10)


def pool(n: int, space: SearchSpace = SPACE, seed: int = 0) -> CandidatePool:
    rng = np.random.default_rng(seed)
    found = CandidatePool(space)
    found.add(space.sample(rng) for _ in range(n))
    return found


def score(arch: Architecture) -> float:
    """What follows directly upon what."""
    graph = SPACE.operation_graph(arch)
    convs = sum(graph.labels[s] == graph.labels[t] == "nor_conv_3x3" for s, t in graph.edges)
    return convs - 0.5 * graph.labels.count("avg_pool_3x3")


def scores(archs: Sequence[Architecture]) -> NDArray[Any]:
    values = np.array([score(arch) for arch in archs])
    return np.asarray((values - values.mean()) / values.std())


@pytest.mark.parametrize("loss", ["regression", "ranking"])
def test_it_learns_from_few_to_rank_many(loss: Any) -> None:
    """From 60 cells the order of 600, and the values of those 60, in their units."""
    given, predictor = pool(600), GraphNetworkPredictor(replace(SMALL, loss=loss, n_steps=150))
    targets = scores(given.archs)
    predictor.fit(given, range(60), targets[:60], np.random.default_rng(0))
    posterior = predictor.posterior(given, targets[:60], [], np.random.default_rng(0))
    assert spearmanr(posterior.mean[60:], targets[60:])[0] > 0.9
    assert np.abs(posterior.mean[:60] - targets[:60]).mean() < 0.3
    assert posterior.std[60:].mean() > posterior.std[:60].mean() > 0


def test_beliefs_follow_the_scale_of_the_targets() -> None:
    given, predictor, rng = pool(100), GraphNetworkPredictor(SMALL), np.random.default_rng(0)
    targets = scores(given.archs)[:30]
    predictor.fit(given, range(20), targets[:20], rng)
    before, after = predictor.posterior(given, targets, [], rng), predictor.posterior(given, 3 * targets - 1, [], rng)
    np.testing.assert_allclose(after.mean, 3 * before.mean - 1, atol=1e-9)
    np.testing.assert_allclose(after.std, 3 * before.std)


def test_a_pool_may_grow() -> None:
    """What is added is predicted as if it had been there from the start."""
    whole, part = pool(80), pool(50)
    predictions = []
    for given in (whole, part):
        predictor, rng = GraphNetworkPredictor(SMALL), np.random.default_rng(0)
        predictor._numbered(whole, 0)  # the same labels in the same order
        predictor.fit(given, range(20), scores(whole.archs)[:20], rng)
        if given is part:
            given.add(whole.archs)
            predictor.extend(given, range(20))
        predictions.append(predictor.members(given))
    np.testing.assert_allclose(predictions[1], predictions[0], atol=1e-5)


def test_a_label_of_later_has_no_say_until_it_is_learned() -> None:
    space = ToySpace(n_layers=2, n_options=6)
    archs = list(space.enumerate())
    given, predictor = CandidatePool(space), GraphNetworkPredictor(SMALL)
    rng = np.random.default_rng(0)
    given.add(arch for arch in archs if arch["layers.0"] in (0, 1))
    predictor.fit(given, range(10), rng.standard_normal(10), rng)
    given.add(archs)
    predictor.extend(given, range(10))
    later = [i for i, arch in enumerate(given.archs) if arch["layers.0"] in (2, 3) and arch["layers.1"] == 0]
    assert len(later) == 2
    members = predictor.members(given)
    np.testing.assert_allclose(members[:, later[0]], members[:, later[1]], atol=1e-6)
    predictor.fit(given, [*range(10), *later], rng.standard_normal(12), rng)
    members = predictor.members(given)
    assert (np.abs(members[:, later[0]] - members[:, later[1]]) > 1e-4).all()


def test_training_follows_the_generator_alone() -> None:
    predictions: list[NDArray[np.float64]] = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(predictions))
        predictor = GraphNetworkPredictor(SMALL)
        predictor.fit(pool(40), range(20), scores(pool(40).archs)[:20], np.random.default_rng(seed))
        predictions.append(predictor._predicted)
    np.testing.assert_array_equal(predictions[0], predictions[1])
    assert not np.allclose(predictions[0], predictions[2])


def n_fits(monkeypatch: pytest.MonkeyPatch, settings: GraphNetwork, n_trials: int) -> list[int]:
    """How many observations each training saw."""
    fitted = []
    fit = GraphNetworkPredictor.fit

    def counting(self: GraphNetworkPredictor, pool: CandidatePool, observed: Sequence[int], *rest: Any) -> None:
        fitted.append(len(observed))
        fit(self, pool, observed, *rest)

    monkeypatch.setattr(GraphNetworkPredictor, "fit", counting)
    space = ToySpace(n_layers=3, n_options=4)
    run_trials(settings.searcher(space, costs={}), space.result, n_trials)
    return fitted


def test_trained_once_it_evaluates_from_the_best_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train on T, rank N, as Wen et al. do."""
    once = replace(SMALL, n_initial=12, renewal=math.inf, acquisition="ucb", exploration=0.0, n_steps=150)
    assert n_fits(monkeypatch, once, 30) == [12]
    monkeypatch.undo()
    space = ToySpace(n_layers=3, n_options=4)
    searcher = once.searcher(space, costs={})
    archs = [space.from_config(config) for config in run_trials(searcher, space.result, 40)]
    assert isinstance(searcher, PredictorSearcher)
    predicted = searcher.objective.posterior(np.zeros(12), [], np.random.default_rng(0)).mean
    chosen = searcher.objective.pool.indices(archs[12:])
    assert len(chosen) == 28 and (np.diff(np.round(predicted[chosen], 8)) <= 0).all()


def test_it_is_trained_further_as_observations_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    assert n_fits(monkeypatch, replace(SMALL, renewal=1.5), 24) == [5, 8, 12, 18]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_networks": 1}, "n_networks must be at least 2, got 1"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"width": 0}, "width must be at least 1"),
        ({"n_steps": 0}, "n_steps must be at least 1"),
        ({"n_more_steps": 0}, "n_more_steps must be at least 1"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"renewal": 0.9}, "renewal must be at least 1, got 0.9"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0"),
        ({"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
        ({"loss": "mape"}, "loss must be one of ranking, regression, got 'mape'"),
        ({"n_initial": 1}, "n_initial must be at least 2"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GraphNetwork(**settings)
