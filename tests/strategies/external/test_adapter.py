from typing import Any

import pytest
from ray.tune.search import Searcher

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.metrics import read_goal
from raynas.strategies.external import adapter
from raynas.strategies.external.adapter import AdaptedSearcher
from raynas.testing import ToySpace

SPACE = ToySpace(n_layers=2, n_options=3)
A: dict[str, Any] = {"layers.0": 0, "layers.1": 0}
B: dict[str, Any] = {"layers.0": 1, "layers.1": 0}
SUPERFLUOUS = {**B, "head": "cosine"}


class Inner(Searcher):
    """Suggests what it is told to, and remembers what it is told."""

    def __init__(self, script: list[dict[str, Any]]) -> None:
        super().__init__()
        self.script = script
        self.told: list[tuple[str, dict[str, Any] | None, bool]] = []

    def suggest(self, trial_id: str) -> dict[str, Any]:
        return {"arch": dict(self.script.pop(0) if len(self.script) > 1 else self.script[0])}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.told.append((trial_id, result, error))


class Adapted(AdaptedSearcher):
    def __init__(self, *script: dict[str, Any], goal: Goal | None = None, **common: Any) -> None:
        self.inner = Inner(list(script))
        self.unasked: list[Evaluation] = []
        super().__init__(SPACE, goal, **common)

    def make_inner(self, seed: int) -> Searcher:
        return self.inner

    def observe_unasked(self, evaluation: Evaluation) -> None:
        self.unasked.append(evaluation)


def test_scores_are_maximised_with_soft_constraints() -> None:
    goal = read_goal(["min:loss", "accuracy"], "params <= 100 soft")
    searcher = Adapted(A, goal=goal)
    assert searcher.inner_metrics == ["score_0", "score_1"]
    searcher.suggest("x")
    searcher.on_trial_complete("x", {"loss": 2.0, "accuracy": 0.5, "params": 200, "training_iteration": 3})
    factor = 2**-0.07
    ((trial, result, error),) = searcher.inner.told
    assert result is not None and (trial, error) == ("0", False)
    assert result == pytest.approx({"score_0": -2.0 / factor, "score_1": 0.5 * factor, "training_iteration": 3})


def test_any_number_of_objectives() -> None:
    metrics = [f"m{i}" for i in range(6)]
    searcher = Adapted(A, goal=Goal.parse([f"max:{metric}" for metric in metrics]))
    searcher.suggest("x")
    searcher.on_trial_complete("x", dict.fromkeys(metrics, 1.0) | {"training_iteration": 1})
    assert len(searcher.inner.told[0][1] or {}) == 7


def test_a_failure_is_told_as_an_error() -> None:
    searcher = Adapted(A, B)
    searcher.suggest("x")
    searcher.on_trial_complete("x", {"accuracy": float("nan")})
    assert searcher.inner.told == [("0", None, True)]


def test_suggestions_become_canonical_and_duplicates_are_answered() -> None:
    searcher = Adapted(SUPERFLUOUS, B, A)
    assert searcher.suggest("x") == {"arch": B}
    searcher.on_trial_complete("x", {"accuracy": 0.5})
    assert searcher.suggest("y") == {"arch": A}
    assert [(trial, (result or {})["score_0"]) for trial, result, _ in searcher.inner.told] == [("0", 0.5), ("1", 0.5)]
    assert searcher.unasked == []


def test_what_it_did_not_ask_for_is_offered_apart() -> None:
    searcher = Adapted(B, points_to_evaluate=[Architecture(A)])
    assert searcher.suggest("x") == {"arch": A}
    searcher.on_trial_complete("x", {"accuracy": 0.5})
    assert [evaluation.arch for evaluation in searcher.unasked] == [Architecture(A)]
    assert searcher.inner.told == []


def test_a_searcher_that_repeats_itself_is_helped_on() -> None:
    """Otherwise a model that is sure of its optimum would be asked a thousand times and the search would end."""
    searcher = Adapted(B)
    tried: list[Architecture] = []
    while isinstance(config := searcher.suggest(str(len(tried))), dict):
        searcher.on_trial_complete(str(len(tried)), SPACE.result(config))
        tried.append(SPACE.from_config(config))
    assert set(tried) == set(SPACE.enumerate())
    assert len(searcher.inner.told) <= adapter.MAX_REPEATS + len(tried)
    assert tried[1] in set(SPACE.neighbours(Architecture(B)))
