"""Proposals in generations: the same search for any number of trials at a time, whichever of them is faster."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray.tune.search import Searcher

from raynas.core.archive import Archive
from raynas.core.searcher import ArchitectureSearcher
from raynas.strategies import GaussianProcess, LocalSearch, Optuna, Portfolio, RandomSearch, RegularizedEvolution
from raynas.testing import ToySpace
from tests.core.scripted import WAIT, A, B, C, Scripted, saw, score

SPACE = ToySpace()
STRATEGIES = [
    RegularizedEvolution(population_size=6, tournament_size=3),
    Optuna(),
    GaussianProcess(),
    Portfolio(stages=("random 6", "evolution")),
    LocalSearch(n_initial=3),
]


def made(strategy: Any, archive: Archive, size: int = 5) -> ArchitectureSearcher:
    searcher: ArchitectureSearcher = strategy.searcher(SPACE, seed=4, costs={}, archive=archive)
    searcher.generation_size = size
    searcher.replay(archive)
    return searcher


def run(
    searcher: ArchitectureSearcher, n_trials: int, n_at_a_time: int, pick: Callable[[int], int], n_ends: int = 10**6
) -> None:
    """Run trials side by side, as ``ArchivedSearch`` does, until so many have ended.

    Args:
        searcher: already replayed.
        n_trials: in the end.
        n_at_a_time: largest number of trials at a time.
        pick: which of so many ends next.
        n_ends: number of ends before the driver is killed.
    """
    archive = searcher.archive
    waiting = list(archive.unfinished())
    running: list[str] = []
    while n_ends:
        while len(running) < n_at_a_time:
            if waiting:
                running.append(waiting.pop(0))
                continue
            trial = f"{archive.last_number + 1:05d}"
            if len(archive.events("proposed")) >= n_trials or not isinstance(searcher.suggest(trial), dict):
                break
            running.append(trial)
        if not running:
            return
        trial = running.pop(pick(len(running)))
        config = next(r["config"] for r in archive.events("proposed") if r["trial"] == trial)
        searcher.on_trial_complete(trial, {**SPACE.result(config), "training_iteration": 1})
        n_ends -= 1


def last(n: int) -> int:
    return n - 1


def first(n: int) -> int:
    return 0


def proposals(archive: Archive) -> list[Any]:
    return [(r["trial"], r["config"]) for r in archive.events("proposed")]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
def test_the_order_of_ends_does_not_matter(strategy: Any) -> None:
    found = []
    rng = np.random.default_rng(0)
    for n_at_a_time, pick in ((1, first), (2, last), (4, lambda n: int(rng.integers(n))), (50, last)):
        archive = Archive()
        run(made(strategy, archive), 22, n_at_a_time, pick)
        found.append(proposals(archive))
    assert len(found[0]) == 22
    assert found[1:] == found[:1] * 3


def test_without_generations_it_does() -> None:
    found = []
    for n_at_a_time in (1, 4):
        archive = Archive()
        run(made(STRATEGIES[0], archive, size=0), 22, n_at_a_time, first)
        found.append(proposals(archive))
    assert found[0] != found[1]


@pytest.mark.parametrize("strategy", [*STRATEGIES[:2], STRATEGIES[3]], ids=lambda s: type(s).__name__)
def test_a_killed_search_is_the_same_search(strategy: Any, tmp_path: Path) -> None:
    whole = Archive()
    run(made(strategy, whole), 22, 1, first)
    killed = Archive()
    for n_ends, n_at_a_time in ((3, 2), (1, 3), (6, 4), (2, 1), (100, 2)):
        run(made(strategy, killed), 22, n_at_a_time, last, n_ends)
        killed.dump(tmp_path / "archive")
        killed = Archive.load(tmp_path / "archive")
    assert proposals(killed) == proposals(whole)
    assert {e.trial: e.metrics for e in killed.evaluations} == {e.trial: e.metrics for e in whole.evaluations}


def test_an_extended_search_is_the_longer_search() -> None:
    """The last generation of the shorter search is not over: the longer one hands out the rest of it."""
    short, long = Archive(), Archive()
    for archive, lengths in ((short, (3, 13, 22)), (long, (22,))):
        for n_trials in lengths:
            run(made(STRATEGIES[0], archive), n_trials, 2, last)
    assert proposals(short) == proposals(long)


def test_a_generation_is_observed_when_all_of_it_has_ended_in_its_order() -> None:
    searcher = Scripted([A, B, C, A])
    searcher.generation_size = 3
    for trial in ("1", "2"):
        assert isinstance(searcher.suggest(trial), dict)
    assert set(searcher.running) == {A, B, C}, "the strategy knows what it has proposed"
    searcher.on_trial_complete("2", score(0.2))
    searcher.on_trial_complete("1", score(0.1))
    assert saw(searcher) == []
    assert isinstance(searcher.suggest("3"), dict)
    assert searcher.suggest("4") is None
    searcher.on_trial_complete("3", error=True)
    assert saw(searcher) == [(A, "finished"), (B, "finished"), (C, "failed")]
    assert searcher.evaluation_of("2") is not None


def test_a_strategy_that_waits_makes_a_generation_shorter() -> None:
    searcher = Scripted([A, B, WAIT, C])
    searcher.generation_size = 3
    assert [isinstance(searcher.suggest(trial), dict) for trial in "123"] == [True, True, False]
    searcher.on_trial_complete("2", score(0.2))
    assert searcher.suggest("3") is None, "the generation is out"
    searcher.on_trial_complete("1", score(0.1))
    assert isinstance(searcher.suggest("3"), dict)
    searcher.on_trial_complete("3", score(0.1))
    assert searcher.ended_because == ""
    assert searcher.suggest("4") == Searcher.FINISHED and searcher.ended_because


def test_a_search_that_ran_without_generations_is_a_warm_start() -> None:
    archive = Archive()
    run(made(STRATEGIES[0], archive, size=0), 9, 3, last)
    known = {e.arch for e in archive.evaluations}
    searcher = made(STRATEGIES[0], archive)
    run(searcher, 25, 3, last)
    archs: Sequence[Any] = [e.arch for e in archive.evaluations]
    assert len(archs) == len(set(archs)) == 25 and known < set(archs)
    assert {e.arch for e in searcher._known.values()} >= known


def test_the_baseline_counts_as_soon_as_it_is_known() -> None:
    """Views show the limits that it sets, though its generation is not over."""
    searcher = RandomSearch().searcher(
        SPACE,
        "accuracy",
        constraints="loss <= 0.5 * baseline soft",
        baseline=SPACE.sample(np.random.default_rng(1)),
        costs={},
    )
    searcher.generation_size = 4
    searcher.suggest("1")
    assert searcher.goal.constraints[0].relative
    searcher.on_trial_complete("1", {**score(0.5), "loss": 2.0})
    assert not searcher.goal.constraints[0].relative and not searcher._known


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
def test_a_limit_relative_to_a_baseline_that_is_tried_first(strategy: Any) -> None:
    """It is known after the first generation; then few architectures meet it, and proposals are repaired."""
    baseline = {f"layers.{i}": 2 for i in range(5)}
    limit = 0.4 * SPACE.params(baseline)

    def begun(archive: Archive) -> ArchitectureSearcher:
        searcher: ArchitectureSearcher = strategy.searcher(
            SPACE,
            constraints="params <= 0.4 * baseline",
            baseline=baseline,
            costs={"params": SPACE.params},
            seed=4,
            archive=archive,
        )
        searcher.generation_size = 4
        searcher.replay(archive)
        return searcher

    archives = [Archive() for _ in range(3)]
    run(begun(archives[0]), 24, 1, first)
    run(begun(archives[1]), 24, 3, last)
    for n_ends in (1, 2, 4, 10, 100):  # the driver is killed in between
        run(begun(archives[2]), 24, 3, first, n_ends)
    for archive in archives:
        points = [SPACE.from_config(record["config"]) for record in archive.events("proposed")]
        assert points == [SPACE.from_config(record["config"]) for record in archives[0].events("proposed")]
        assert len(set(points)) == 24 and dict(points[0]) == baseline
        assert all(SPACE.params(point) <= limit for point in points[4:]) and archive.events("repaired")
