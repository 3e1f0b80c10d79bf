"""Scoring in bulk: any cheap score, in order, whatever dies; a search that is the same with any number of actors."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray.tune import Callback
from torch import nn

from raynas import Architecture, ModelSpace, SearchSpace
from raynas.core.archive import Archive
from raynas.core.decision import Categorical, Decision
from raynas.errors import UnknownNameError
from raynas.metrics import count_macs, count_params, untrained_metrics
from raynas.metrics.cost import N_COUNTED
from raynas.nn.elastic import Size
from raynas.nn.elastic_layers import ElasticLinear
from raynas.run.bulk_search import Pool, Untrained, pool_of, score_many, search_in_bulk
from raynas.search_spaces import NASBench201
from raynas.strategies import Optuna, RandomSearch, RegularizedEvolution
from raynas.trials import Function


class Widths(SearchSpace):
    """125 networks that take no time."""

    input_shape = (4,)

    @property
    def decisions(self) -> list[Decision]:
        return [Categorical(f"width_{i}", (1, 2, 4, 8, 16)) for i in range(3)]

    def build(self, arch: Architecture) -> nn.Module:
        a, b, c = (int(arch[f"width_{i}"]) for i in range(3))
        return nn.Sequential(nn.Linear(4, a), nn.Linear(a, b), nn.Linear(b, c))


SPACE = Widths()
ARCHS = [SPACE.sample(np.random.default_rng(i)) for i in range(30)]


class Total:
    """The sum of the widths; counts how often it was asked."""

    def __init__(self) -> None:
        self.n_asked = 0

    def run(self, config: Mapping[str, Any]) -> dict[str, Any]:
        self.n_asked += 1
        accuracy = sum(config["arch"].values()) / 48
        return {"accuracy": accuracy, "training_iteration": 1, "complete": 1, "failed": 0, "error": ""}


class Unsteady(Total):
    """Some take longer, so actors overtake each other."""

    def run(self, config: Mapping[str, Any]) -> dict[str, Any]:
        time.sleep(0.01 * (config["arch"]["width_0"] == 16))
        return super().run(config)


class Deadly(Total):
    """One option ends the process, as the kernel does when memory runs out."""

    def run(self, config: Mapping[str, Any]) -> dict[str, Any]:
        if config["arch"]["width_0"] == 16:
            os._exit(1)
        return super().run(config)


class TwoWidths(nn.Module):
    """Two layers whose widths are decided, so that what follows them has to be built to be counted."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(ElasticLinear(4, Size(range(1, 9), f"width_{i}")), ElasticLinear(8, 1)) for i in range(2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([layer(x) for layer in self.layers], 1)


def unlucky(model: nn.Module, config: Mapping[str, Any]) -> float:
    if config["arch"]["width_0"] == 1:
        raise RuntimeError("width 1 is unlucky")
    return 0.5


# --- scores ----------------------------------------------------------------------------------------------------------


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
    monkeypatch.setattr("raynas.run.bulk_search.ray.remote", lambda cls: pytest.fail("an actor was started"))
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
    space = ModelSpace(TwoWidths, input_shape=(4,))
    archs = [arch for arch in space.enumerate() for _ in range(2)]
    with pool_of(space, ["params"]) as pool:
        results = list(pool.results(space.to_config(arch) for arch in archs))
        assert pool._actors
    expected = [sum(4 * int(width) + int(width) + (int(width) + 1) for width in arch.values()) for arch in archs]
    assert [result["params"] for result in results] == expected


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
        with pool_of(SPACE, settings, ["accuracy"], measured=asked, workers=0) as pool:
            (result,) = pool.results([arch])
        assert {n for n in ("params", "macs", "latency_ms") if np.isfinite(result[n])} >= set(asked)
        assert np.isfinite(result["latency_ms"]) == ("latency_ms" in asked)


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


@pytest.mark.usefixtures("ray_cluster")
def test_an_actor_that_dies_costs_only_what_killed_it() -> None:
    configs = [SPACE.to_config(arch) for arch in ARCHS[4:12]]
    assert sum(config["arch"]["width_0"] == 16 for config in configs) == 1
    with Pool(Deadly(), {"cpu": 0.5}, workers=1) as pool:
        pool._per_call = 4
        results = list(pool.results(configs))
    assert len(results) == len(configs)
    for config, result in zip(configs, results, strict=True):
        assert result["failed"] == (config["arch"]["width_0"] == 16)
    assert any(result["failed"] for result in results)
    assert "died twice" in next(result["error"] for result in results if result["failed"])


# --- a search --------------------------------------------------------------------------------------------------------

STRATEGIES = [RegularizedEvolution(population_size=6, tournament_size=3), Optuna(), RandomSearch()]


def searched(strategy: Any, archive: Archive, scorer: Any = None, *, workers: int = 0, num_samples: int = 40) -> Any:
    searcher = strategy.searcher(SPACE, seed=3, archive=archive)
    searcher.replay(archive)
    with Pool(scorer or Total(), {"cpu": 0.5}, workers) as pool:
        search_in_bulk(searcher, pool, num_samples=num_samples, bulk_size=7)
    return searcher


def trajectory(archive: Archive) -> list[tuple[str, Any, Any]]:
    return [(e.trial, dict(e.arch), e.metrics["accuracy"]) for e in archive.evaluations]


@pytest.mark.usefixtures("ray_cluster")
def test_a_search_does_not_depend_on_the_number_of_actors() -> None:
    archives = [Archive() for _ in range(3)]
    for archive, workers, scorer in zip(archives, (0, 1, 3), (Total(), Total(), Unsteady()), strict=True):
        searched(STRATEGIES[0], archive, scorer, workers=workers)
    first = trajectory(archives[0])
    assert len(first) == 40
    assert trajectory(archives[1]) == trajectory(archives[2]) == first


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
def test_a_search_killed_anywhere_goes_on_as_if_nothing_had_been(strategy: Any, tmp_path: Path) -> None:
    whole = Archive(tmp_path / "whole")
    searched(strategy, whole)
    whole.close()
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    expected = trajectory(whole)
    for n_lines in range(0, len(lines), 11):
        killed = tmp_path / f"killed_{n_lines}"
        killed.write_bytes(b"".join(lines[:n_lines]))
        archive = Archive(killed)
        n_known = len(archive.evaluations)
        scorer = Total()
        searched(strategy, archive, scorer)
        archive.close()
        assert trajectory(archive) == expected, n_lines
        assert scorer.n_asked == len(expected) - n_known  # nothing was scored twice


def test_a_finished_search_is_extended() -> None:
    short, long = Archive(), Archive()
    searched(STRATEGIES[0], short, num_samples=14)
    searched(STRATEGIES[0], long, num_samples=21)
    searched(STRATEGIES[0], short, num_samples=21)
    assert trajectory(short) == trajectory(long)


def test_duplicates_cost_no_score_and_a_space_can_be_exhausted() -> None:
    scorer, archive = Total(), Archive()
    searcher = searched(STRATEGIES[2], archive, scorer, num_samples=500)
    assert scorer.n_asked == SPACE.size == 125
    assert "every architecture" in searcher.ended_because
    assert archive.events("duplicate")


class Interrupting(Total):
    def run(self, config: Mapping[str, Any]) -> dict[str, Any]:
        if self.n_asked == 10:
            raise KeyboardInterrupt
        return super().run(config)


def test_an_interrupt_keeps_what_was_scored() -> None:
    archive = Archive()
    searched(STRATEGIES[0], archive, Interrupting())
    assert len(archive.evaluations) == 10 and archive.unfinished()
    searched(STRATEGIES[0], archive)
    whole = Archive()
    searched(STRATEGIES[0], whole)
    assert trajectory(archive) == trajectory(whole)


def test_callbacks_are_told() -> None:
    class Counting(Callback):
        steps, ends = 0, 0

        def __init__(self) -> None: ...

        def on_step_end(self, iteration: int, trials: Sequence[Any], **info: Any) -> None:
            self.steps += 1

        def on_experiment_end(self, trials: Sequence[Any], **info: Any) -> None:
            self.ends += 1

    counting = Counting()
    searcher = STRATEGIES[2].searcher(SPACE)
    with Pool(Total(), {}, 0) as pool:
        search_in_bulk(searcher, pool, num_samples=5, bulk_size=2, callbacks=[counting])
    assert (counting.steps, counting.ends) == (5, 1)


def test_untrained_failures_are_told() -> None:
    assert Untrained(SPACE, ["params"]).run({"arch": {"width_0": 3}})["failed"] == 1
