from typing import Any

import pytest

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.strategies import LocalSearch, RandomSearch
from raynas.strategies.local_search import LocalSearcher
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=3, n_options=3)


def shown(configs: list[dict[str, Any]]) -> list[str]:
    return [" ".join(map(str, config["arch"].values())) for config in configs]


def run(n_trials: int, **settings: Any) -> list[str]:
    return shown(run_trials(LocalSearch(**settings).searcher(SPACE, costs={}, seed=0), SPACE.result, n_trials))


def test_golden_trajectory() -> None:
    """Each better neighbour is moved to at once; all neighbours of the optimum are tried before it starts again."""
    start, first_climb = ["2 1 1 linear", "0 0 0"], ["2 1 1 cosine"]
    second_climb, third_climb = ["1 1 1", "2 1 2 cosine"], ["0 1 2", "2 2 2 cosine"]
    optimum = ["2 2 2 linear", "2 0 2 cosine", "1 2 2", "0 2 2", "2 2 0 cosine", "2 2 1 cosine"]
    restart = ["1 1 0"]
    climbs = [*first_climb, *second_climb, *third_climb]
    assert run(14, n_initial=2) == [*start, *climbs, *optimum, *restart]


def test_golden_trajectory_of_the_best_neighbour() -> None:
    """All neighbours are tried before the best is moved to."""
    start = ["2 1 1 linear", "0 0 0"]
    around = ["2 1 1 cosine", "2 2 1 linear", "0 1 1", "2 0 1 linear", "1 1 1", "2 1 2 linear", "2 1 0 linear"]
    around_the_first_of_the_best = ["2 1 2 cosine", "2 1 0 cosine", "2 0 1 cosine", "2 2 1 cosine"]
    assert run(13, n_initial=2, first_improvement=False) == [*start, *around, *around_the_first_of_the_best]


def test_climbs_from_the_best_of_its_samples() -> None:
    searcher = LocalSearch(n_initial=5).searcher(SPACE, costs={}, seed=0)
    samples = run_trials(searcher, SPACE.result, 5)
    assert samples == run_trials(RandomSearch().searcher(SPACE, costs={}, seed=0), SPACE.result, 5)
    best = max(map(SPACE.from_config, samples), key=SPACE.accuracy)
    assert SPACE.from_config(searcher.suggest("6")) in set(SPACE.neighbours(best))


def test_stays_at_an_equal_and_leaves_a_failure_out() -> None:
    searcher = LocalSearcher(SPACE, settings=LocalSearch(n_initial=1))
    centre = searcher.propose()
    assert centre is not None
    searcher.observe(Evaluation(centre, {"accuracy": 0.5}))
    neighbours = []
    for accuracy in [0.5, 0.4, 0.5]:
        neighbours.append(searcher.propose())
        assert neighbours[-1] is not None
        searcher.observe(Evaluation(neighbours[-1], {"accuracy": accuracy}))
    failed = searcher.propose()
    assert failed is not None
    searcher.observe(Evaluation(failed, {"accuracy": 1.0}, status="failed"))
    neighbours += [failed, searcher.propose()]
    assert set(neighbours) <= set(SPACE.neighbours(centre))


def test_does_not_climb_from_a_failure() -> None:
    searcher = LocalSearcher(SPACE, settings=LocalSearch(n_initial=2))
    for _ in range(4):
        arch = searcher.propose()
        assert arch is not None
        searcher.observe(Evaluation(arch, {"accuracy": 0.5}, status="failed"))
        assert searcher.centre is None


def test_every_neighbour_is_tried_before_a_restart() -> None:
    """A valley between two optima: from the lower one it starts again instead of giving up."""

    def accuracy(config: dict[str, Any]) -> dict[str, Any]:
        total = sum(option for option in config["arch"].values() if isinstance(option, int))
        return {"accuracy": {0: 0.5, 6: 1.0}.get(total, 0.1), "training_iteration": 1}

    searcher = LocalSearch(n_initial=1).searcher(SPACE, costs={}, points_to_evaluate=[dict(zero())], seed=0)
    configs = run_trials(searcher, accuracy, 30)
    archs = [SPACE.from_config(config) for config in configs]
    reached = archs.index(zero())
    around = set(SPACE.neighbours(zero()))
    assert around <= set(archs)
    assert accuracy(configs[reached])["accuracy"] == 0.5
    assert max(accuracy(config)["accuracy"] for config in configs) == 1.0


def zero() -> Architecture:
    return Architecture({f"layers.{i}": 0 for i in range(3)})


def test_waits_for_what_runs_before_it_moves() -> None:
    searcher = LocalSearch(n_initial=2).searcher(SPACE, costs={}, seed=0)
    configs = [searcher.suggest("a"), searcher.suggest("b")]
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("a", SPACE.result(configs[0]))
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("b", SPACE.result(configs[1]))
    assert isinstance(searcher.suggest("c"), dict)


def test_moves_by_the_goal() -> None:
    searcher = LocalSearcher(SPACE, Goal.parse("accuracy", "params <= 10"), settings=LocalSearch(n_initial=2))
    first, second = searcher.propose(), searcher.propose()
    assert first is not None and second is not None
    searcher.observe(Evaluation(first, {"accuracy": 0.9, "params": 11}))
    searcher.observe(Evaluation(second, {"accuracy": 0.1, "params": 10}))
    assert searcher.propose() in set(SPACE.neighbours(second)) - set(SPACE.neighbours(first))


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="n_initial >= 1, got 0"):
        LocalSearch(n_initial=0)
