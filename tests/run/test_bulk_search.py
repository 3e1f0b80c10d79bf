"""A search in bulk is the same with any number of actors, and wherever it was killed."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ray.tune import Callback

from raynas.core.archive import Archive
from raynas.run.actor_pool import ActorPool
from raynas.run.bulk_search import search_in_bulk
from raynas.strategies import Optuna, RandomSearch, RegularizedEvolution
from tests.run.widths import SPACE, Total


class Unsteady(Total):
    """Some take longer, so actors overtake each other."""

    def run(self, config: Mapping[str, Any]) -> dict[str, Any]:
        time.sleep(0.01 * (config["arch"]["width_0"] == 16))
        return super().run(config)


STRATEGIES = [RegularizedEvolution(population_size=6, tournament_size=3), Optuna(), RandomSearch()]


def searched(strategy: Any, archive: Archive, scorer: Any = None, *, workers: int = 0, num_samples: int = 40) -> Any:
    searcher = strategy.searcher(SPACE, seed=3, archive=archive)
    searcher.replay(archive)
    with ActorPool(scorer or Total(), {"cpu": 0.5}, workers) as pool:
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
    with ActorPool(Total(), {}, 0) as pool:
        search_in_bulk(searcher, pool, num_samples=5, bulk_size=2, callbacks=[counting])
    assert (counting.steps, counting.ends) == (5, 1)
