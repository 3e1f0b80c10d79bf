"""Scores in bulk: any cheap score, in order, in this process or by actors."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from torch import nn

from raynas import Architecture
from raynas.errors import UnknownNameError
from raynas.metrics import count_macs, count_params, untrained_metrics
from raynas.metrics.cost import N_COUNTED
from raynas.run.score_many import UntrainedScorer, pool_for, score_many
from raynas.search_spaces import MLP, NASBench201
from raynas.trials import Function
from tests.run.widths import ARCHS, SPACE


def unlucky(model: nn.Module, config: Mapping[str, Any]) -> float:
    if config["arch"]["width_0"] == 1:
        raise RuntimeError("width 1 is unlucky")
    return 0.5


@pytest.mark.parametrize("workers", [0, 2])
def test_untrained_metrics_in_order(workers: int, request: pytest.FixtureRequest) -> None:
    if workers:
        request.getfixturevalue("ray_cluster")
    params = untrained_metrics(SPACE)["params"]
    found = list(score_many(SPACE, ARCHS, ["params", "macs"], workers=workers))
    assert [e.arch for e in found] == ARCHS
    assert [e.metrics["params"] for e in found] == [params(arch) for arch in ARCHS]
    assert all(e.ok and set(e.metrics) == {"params", "macs"} for e in found)


def test_costs_that_add_up_need_no_actors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raynas.run.actor_pool.ray.remote", lambda cls: pytest.fail("an actor was started"))
    space, rng = NASBench201(cells=1), np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(3 * N_COUNTED)]
    found = list(score_many(space, archs, ["params", "macs"]))
    assert [e.arch for e in found] == archs
    for evaluation in found[-2:]:
        model = space.build(evaluation.arch)
        costs = {"params": count_params(model), "macs": count_macs(model, space.input_shape)}
        assert evaluation.metrics == costs


@pytest.mark.usefixtures("ray_cluster")
def test_actors_take_over_where_costs_have_to_be_counted() -> None:
    space, rng = MLP(input_shape=(4,), max_layers=2), np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(2 * N_COUNTED)]
    with pool_for(space, ["params"]) as pool:
        results = list(pool.results(space.to_config(arch) for arch in archs))
        assert pool._workers
    assert [result["params"] for result in results] == [count_params(space.build(arch)) for arch in archs]


def test_a_function_that_fails_for_some() -> None:
    for evaluation in score_many(SPACE, ARCHS, unlucky, workers=0):
        if evaluation.arch["width_0"] == 1:
            assert not evaluation.ok and "unlucky" in evaluation.error
        else:
            assert evaluation.ok and evaluation.metrics["accuracy"] == 0.5


def test_costs_are_measured_only_if_they_are_asked_for() -> None:
    settings = Function(fn=unlucky)
    arch = {"arch": dict.fromkeys(("width_0", "width_1", "width_2"), 2)}
    for asked in ((), ("params",), ("params", "latency_ms")):
        with pool_for(SPACE, settings, ["accuracy", *asked], workers=0) as pool:
            (result,) = pool.results([arch])
        assert {n for n in ("params", "macs", "latency_ms") if np.isfinite(result.get(n, np.nan))} == set(asked)


def test_an_unknown_metric() -> None:
    with pytest.raises(UnknownNameError, match="accuracy_of_tomorrow"):
        next(score_many(SPACE, ARCHS, "accuracy_of_tomorrow", workers=0))


def test_architectures_are_taken_as_they_are_needed() -> None:
    def endless() -> Iterator[Architecture]:
        rng = np.random.default_rng(0)
        while True:
            yield SPACE.sample(rng)

    scores = score_many(SPACE, endless(), "params", workers=0)
    assert len([next(scores) for _ in range(5)]) == 5


def test_untrained_failures_are_told() -> None:
    assert UntrainedScorer(SPACE, ["params"]).run({"arch": {"width_0": 3}})["failed"] == 1
