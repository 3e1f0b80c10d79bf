from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raynas.core.goal import Goal
from raynas.core.result import SearchResult
from raynas.errors import RaynasError
from raynas.strategies import RandomSearch
from tests.core.scripted import SPACE, A, B, C, D, Scripted, score


def found(*results: Any, goal: Goal | None = None) -> SearchResult:
    """A search of A, B, C and D in this order, each with such a result."""
    goal = goal or Goal()
    searcher = Scripted([A, B, C, D], goal=goal)
    for name, result in zip("1234", results, strict=False):
        searcher.suggest(name)
        searcher.on_trial_complete(name, result)
    return SearchResult(SPACE, goal, searcher.archive, Path("results"))


def test_only_full_evaluations_can_be_best() -> None:
    result = found(score(0.5), score(0.9, complete=False), score(0.7), {})
    assert result.best().arch == C
    assert [e.arch for e in result.full] == [A, C]
    assert result.counts == {"finished": 2, "stopped": 1, "failed": 1, "refused": 0, "repaired": 0, "duplicates": 0}


def test_the_best_meets_the_constraints() -> None:
    goal = Goal.parse("accuracy", "latency_ms <= 3")
    result = found(score(0.9, latency_ms=5.0), score(0.5, latency_ms=2.0), goal=goal)
    assert result.best().arch == B


def test_the_best_of_several_objectives_is_that_in_the_first() -> None:
    results = [score(a, params=p) for a, p in ((0.1, 1.0), (0.5, 4.0), (0.9, 9.0), (0.6, 9.0))]
    result = found(*results, goal=Goal.parse(["max:accuracy", "min:params"]))
    assert result.best() == result.pareto_front()[0] and result.best().arch == C


def test_a_line_says_how_it_ended() -> None:
    result = found(score(0.5), score(0.75), {})
    assert repr(result) == "<SearchResult of ToySpace: 2 finished, 1 failed; best accuracy 0.75; in results>"
    stopped = replace(found(), interrupted=True)
    assert repr(stopped) == (
        "<SearchResult of ToySpace: no trial ended; interrupted: the same call continues it; in results>"
    )


def test_networks_are_those_of_a_search_alone() -> None:
    result = found(score(0.5))
    for ask in (result.best_model, result.saved_state, result.retrain):
        with pytest.raises(RaynasError, match=r"not returned by raynas\.search"):
            ask()


def test_a_front_of_other_objectives() -> None:
    result = found(score(0.9, params=9.0), score(0.5, params=2.0), score(0.4, params=3.0))
    assert [e.arch for e in result.pareto_front()] == [A]
    assert [e.arch for e in result.pareto_front(("max:accuracy", "min:params"))] == [A, B]


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([], r"no result yet \(no trial ended\)"),
        ([score(0.5, failed=1, error="out of luck")], r"\(1 failed\); the last error: out of luck"),
        ([score(0.5, latency_ms=5.0)], r"\(1 finished\); constraints broken by what finished: latency_ms <= 3"),
        ([score(0.5, complete=False)], r"\(1 stopped\)$"),
    ],
)
def test_no_result_is_explained(results: list[Any], message: str) -> None:
    with pytest.raises(RaynasError, match=message):
        found(*results, goal=Goal.parse("accuracy", "latency_ms <= 3")).best()


def test_a_row_per_trial() -> None:
    result = found(score(0.5), {})
    frame = result.to_frame()
    assert list(frame["trial"]) == ["1", "2"] and list(frame["status"]) == ["finished", "failed"]
    assert list(frame["arch/layers.1"]) == [0, 1]
    assert frame["accuracy"].isna().tolist() == [False, True]


def test_hyperparameters_are_columns() -> None:
    searcher = RandomSearch().searcher(SPACE, costs={}, hyperparameters={"epochs": 3})
    searcher.suggest("1")
    searcher.on_trial_complete("1", score(0.5))
    frame = SearchResult(SPACE, Goal(), searcher.archive, Path("results")).to_frame()
    assert list(frame["epochs"]) == [3]
