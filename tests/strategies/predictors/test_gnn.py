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
from raynas.core.operation_graph import OperationGraph
from raynas.core.space import SearchSpace
from raynas.search_spaces import NASBench201
from raynas.strategies import GraphNetwork
from raynas.strategies.predictors.gnn import (
    GraphEnsemble,
    GraphNetworkPredictor,
    Graphs,
    _convolved,
    pair_loss,
    squared_error,
)
from raynas.strategies.predictors.predictor_search import Pool, PredictorSearcher
from raynas.testing import ToySpace, run_trials

SPACE = NASBench201()
SMALL = GraphNetwork(n_initial=5, n_networks=3, depth=2, width=16, n_steps=60, n_more_steps=10)
DIAMOND = OperationGraph(("in", "conv", "pool", "skip", "out"), ((0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)))
CHAIN = OperationGraph.chain(["in", "conv", "out"])
NUMBERS = {"out": 0, "in": 1, "conv": 2, "pool": 3, "skip": 4}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ensemble(n_networks: int = 3) -> GraphEnsemble:
    return GraphEnsemble(n_networks, n_labels=5, width=8, depth=3, generator=generator())


def pool(n: int, space: SearchSpace = SPACE, seed: int = 0) -> Pool:
    rng = np.random.default_rng(seed)
    found = Pool(space, lambda arch: arch)
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


def test_graphs_as_tensors() -> None:
    """A node takes the mean of what enters it and of itself; the small graph is filled up with nodes that are not."""
    graphs = Graphs.of([DIAMOND, CHAIN], NUMBERS)
    assert graphs.labels.tolist() == [[1, 2, 3, 4, 0], [1, 2, 0, 0, 0]]
    assert graphs.forward[0, 4].tolist() == [0, 0.25, 0.25, 0.25, 0.25]
    assert graphs.backward[0, 0].tolist() == [0.25, 0.25, 0.25, 0.25, 0]
    assert graphs.forward[1, 1].tolist() == [0.5, 0.5, 0, 0, 0]
    assert graphs.shares.sum(1).tolist() == pytest.approx([1, 1]) and graphs.shares[1, 3] == 0
    assert len(graphs) == 2 and graphs[1:].labels.tolist() == [[1, 2, 0, 0, 0]]


def test_a_convolution_by_hand() -> None:
    x = torch.tensor([1.0, 2.0, 4.0]).view(1, 3, 1, 1)
    graphs = Graphs.of([CHAIN], NUMBERS)
    weights, bias = torch.full((1, 1, 1), 2.0), torch.full((1, 1, 1), -3.0)
    # Means with oneself: 1, 1.5, 3 along the edges and 1.5, 3, 4 against them; twice that, less 3, not below 0.
    assert _convolved(graphs.forward, x, weights, bias).flatten().tolist() == [0, 0, 3]
    assert _convolved(graphs.backward, x, weights, bias).flatten().tolist() == [0, 3, 5]


def test_the_order_of_nodes_does_not_matter() -> None:
    networks = ensemble()
    expected = networks(Graphs.of([DIAMOND], NUMBERS))
    turned = OperationGraph(("in", "skip", "conv", "pool", "out"), DIAMOND.edges)
    torch.testing.assert_close(networks(Graphs.of([turned], NUMBERS)), expected)
    other = OperationGraph(("in", "conv", "pool", "skip", "out"), (*DIAMOND.edges, (1, 2)))
    assert not torch.allclose(networks(Graphs.of([other], NUMBERS)), expected, rtol=1e-2)


def test_what_fills_up_does_not_matter() -> None:
    networks = ensemble()
    together = networks(Graphs.of([DIAMOND, CHAIN], NUMBERS))
    alone = [networks(Graphs.of([graph], NUMBERS)) for graph in (DIAMOND, CHAIN)]
    torch.testing.assert_close(together, torch.cat(alone, dim=1))


def test_the_direction_of_edges_matters() -> None:
    networks, turned = ensemble(), OperationGraph.chain(["out", "conv", "in"])
    first, second = networks(Graphs.of([CHAIN, turned], NUMBERS)).T
    assert not torch.allclose(first, second, rtol=1e-2)


def test_networks_do_not_see_each_other() -> None:
    """A gradient of one network's score is 0 for the weights of the others."""
    networks = ensemble()
    for weight in networks.weights:
        weight.requires_grad_(True)
    networks(Graphs.of([DIAMOND], NUMBERS))[1].sum().backward()
    for weight in networks.weights:
        gradient = weight.grad if weight is not networks.labels else weight.grad.transpose(0, 1)  # type: ignore[union-attr]
        assert gradient is not None
        assert gradient[1].abs().sum() > 0 and gradient[0].abs().sum() == gradient[2].abs().sum() == 0


def test_new_labels_leave_the_others_as_they_are() -> None:
    networks = ensemble()
    before = networks(Graphs.of([DIAMOND], NUMBERS))
    networks.grow(7)
    assert len(networks.labels) == 7
    torch.testing.assert_close(networks(Graphs.of([DIAMOND], NUMBERS)), before)


def test_losses_by_hand() -> None:
    targets, scored = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([[2.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    assert squared_error(scored, targets).item() == pytest.approx((1 + 0 + 1) / 3)
    # The first is better than the two others; between them there is no order.
    expected = [math.log1p(math.exp(-d)) for d in (2, 1, 1, 1)]
    assert pair_loss(scored, targets).item() == pytest.approx(sum(expected) / 2)
    assert pair_loss(scored, torch.zeros(3)).item() == 0


@pytest.mark.parametrize("loss", ["regression", "ranking"])
def test_it_learns_from_few_to_rank_many(loss: Any) -> None:
    """From 60 cells the order of 600, and the values of those 60, in their units."""
    given, predictor = pool(600), GraphNetworkPredictor(replace(SMALL, loss=loss, n_steps=150))
    targets = scores(given.archs)
    predictor.fit(given, range(60), targets[:60], np.random.default_rng(0))
    belief = predictor.believe(given, targets[:60], [], np.random.default_rng(0))
    assert spearmanr(belief.mean[60:], targets[60:])[0] > 0.9
    assert np.abs(belief.mean[:60] - targets[:60]).mean() < 0.3
    assert belief.spread[60:].mean() > belief.spread[:60].mean() > 0


def test_beliefs_follow_the_scale_of_the_targets() -> None:
    given, predictor, rng = pool(100), GraphNetworkPredictor(SMALL), np.random.default_rng(0)
    targets = scores(given.archs)[:30]
    predictor.fit(given, range(20), targets[:20], rng)
    before, after = predictor.believe(given, targets, [], rng), predictor.believe(given, 3 * targets - 1, [], rng)
    np.testing.assert_allclose(after.mean, 3 * before.mean - 1, atol=1e-9)
    np.testing.assert_allclose(after.spread, 3 * before.spread)


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
    given, predictor, rng = Pool(space, lambda arch: arch), GraphNetworkPredictor(SMALL), np.random.default_rng(0)
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

    def counting(self: GraphNetworkPredictor, pool: Pool, observed: Sequence[int], *rest: Any) -> None:
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
    assert isinstance(searcher, PredictorSearcher) and searcher._pool is not None
    predicted = searcher._scored.predictor.believe(searcher._pool, np.zeros(12), [], np.random.default_rng(0)).mean
    chosen = [i for i in map(searcher._pool.index, archs[12:]) if i is not None]
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
