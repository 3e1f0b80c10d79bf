from collections import Counter
from typing import Any

import pytest

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.strategies import GeneticAlgorithm, RandomSearch
from raynas.strategies.evolution.genetic_algorithm import GeneticAlgorithmSearcher
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=4, n_options=5)


def made(goal: Goal | None = None, **settings: Any) -> GeneticAlgorithmSearcher:
    return GeneticAlgorithmSearcher(SPACE, goal, settings=GeneticAlgorithm(**settings))


def evaluation(digits: str, accuracy: float, **metrics: float) -> Evaluation:
    arch = Architecture({f"layers.{i}": int(digit) for i, digit in enumerate(digits)})
    return Evaluation(arch, {"accuracy": accuracy, **metrics})


def shown(evaluations: Any) -> list[str]:
    return ["".join(map(str, e.arch.values())) for e in evaluations]


def test_golden_trajectory() -> None:
    strategy = GeneticAlgorithm(population_size=4, n_elites=1)
    configs = run_trials(strategy.searcher(SPACE, costs={}, seed=0), SPACE.result, 14)
    assert [" ".join(map(str, config["arch"].values())) for config in configs] == [
        "4 3 2 1 linear",
        "0 0 0 0",
        "4 3 4 2 cosine",
        "4 3 3 2 cosine",
        "4 0 3 2 cosine",
        "4 3 3 2 linear",
        "4 3 2 2 cosine",
        "3 3 2 2",
        "4 2 1 3 cosine",
        "4 3 4 2 linear",
        "4 4 4 2 linear",
        "4 2 4 2 cosine",
        "4 4 4 2 cosine",
        "3 2 4 2",
    ]


def test_starts_with_a_random_population() -> None:
    genetic = GeneticAlgorithm(population_size=10).searcher(SPACE, costs={}, seed=5)
    random = RandomSearch().searcher(SPACE, costs={}, seed=5)
    assert run_trials(genetic, SPACE.result, 10) == run_trials(random, SPACE.result, 10)
    assert run_trials(genetic, SPACE.result, 11) != run_trials(random, SPACE.result, 11)


@pytest.mark.parametrize(("n_elites", "expected"), [(1, ["0000", "4443", "4442"]), (0, ["4444", "4443", "4442"])])
def test_the_best_live_on_and_the_others_are_replaced(n_elites: int, expected: list[str]) -> None:
    """However good the children are; without elites the best is lost."""
    searcher = made(population_size=3, n_elites=n_elites)
    for digits, accuracy in (("0000", 0.9), ("1111", 0.8), ("2222", 0.7)):
        searcher.observe(evaluation(digits, accuracy))
    for digits, accuracy in [("4442", 0.1), ("4443", 0.2), ("4444", 0.3)][: 3 - n_elites]:
        assert shown(searcher.population) == ["0000", "1111", "2222"]
        searcher.observe(evaluation(digits, accuracy))
    assert shown(searcher.population) == expected


def test_the_best_of_a_search_is_never_lost() -> None:
    searcher = GeneticAlgorithm(population_size=6, n_elites=1).searcher(SPACE, costs={}, seed=1)
    assert isinstance(searcher, GeneticAlgorithmSearcher)
    for n in range(1, 60):
        run_trials(searcher, SPACE.result, n)
        if searcher.population and not searcher.children:
            best = searcher.goal.best(searcher.archive.evaluations)
            assert best is not None and searcher.population[0].metrics["accuracy"] == best.metrics["accuracy"]


@pytest.mark.parametrize("size", [1, 3])
def test_tournaments_draw_with_replacement(size: int) -> None:
    searcher = made(population_size=4, n_elites=0, tournament_size=size, crossover_prob=0.0, mutation_prob=0.0)
    for i in range(4):
        searcher.observe(evaluation(f"{i}" * 4, 0.1 * i))
    wins = Counter(str(searcher.child(searcher.population)["layers.0"]) for _ in range(4000))
    for place, name in enumerate("3210"):
        share = ((4 - place) / 4) ** size - ((3 - place) / 4) ** size
        assert wins[name] / 4000 == pytest.approx(share, abs=0.03)


def test_a_known_child_is_mutated_until_it_is_new() -> None:
    searcher = made(population_size=2, n_elites=0, crossover_prob=0.0, mutation_prob=0.0)
    parents = [evaluation("0000", 0.5), evaluation("1111", 0.4)]
    for parent in parents:
        searcher.observe(parent)
    for _ in range(20):
        child = searcher.propose()
        assert min(sum(child[n] != p.arch[n] for n in p.arch if n in child) for p in parents) == 1


def test_goes_by_the_goal() -> None:
    searcher = made(Goal.parse("accuracy", "params <= 10"), population_size=2, n_elites=0)
    searcher.observe(evaluation("0000", 0.9, params=11))
    searcher.observe(evaluation("1111", 0.1, params=10))
    assert shown(searcher.population) == ["1111", "0000"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"population_size": 1, "n_elites": 0}, "population_size >= 2 and 0 <= n_elites"),
        ({"population_size": 5, "n_elites": 5}, "got 5 and 5"),
        ({"n_elites": -1}, "got 20 and -1"),
        ({"tournament_size": 0}, "tournament_size >= 1, got 0"),
        ({"crossover_prob": -0.1}, r"crossover_prob in \[0, 1\], got -0.1"),
        ({"mutation_prob": 2.0}, r"mutation_prob in \[0, 1\], got 2.0"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GeneticAlgorithm(**settings)
