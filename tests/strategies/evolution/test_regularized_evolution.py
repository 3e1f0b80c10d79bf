from collections import Counter
from typing import Any

import pytest

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.metrics import read_goal
from raynas.strategies import RandomSearch, RegularizedEvolution
from raynas.strategies.evolution.regularized_evolution import RegularizedEvolutionSearcher
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=4, n_options=5)


def made(goal: Goal | None = None, **settings: Any) -> RegularizedEvolutionSearcher:
    return RegularizedEvolutionSearcher(SPACE, goal, settings=RegularizedEvolution(**settings))


def arch(digits: str) -> Architecture:
    return Architecture({f"layers.{i}": int(digit) for i, digit in enumerate(digits)})


def observe(searcher: RegularizedEvolutionSearcher, digits: str, accuracy: float, **metrics: float) -> Architecture:
    point = arch(digits)
    searcher.observe(Evaluation(point, {"accuracy": accuracy, **metrics}))
    return point


def n_differences(first: Architecture, second: Architecture) -> int:
    return sum(first[name] != second[name] for name in first.keys() & second.keys())


def parents_of(searcher: RegularizedEvolutionSearcher, *candidates: Architecture, n: int = 300) -> Counter[str]:
    """How often each candidate is the only one that a child differs from in one decision."""
    found: Counter[str] = Counter()
    for _ in range(n):
        child = searcher.propose()
        close = [c for c in candidates if n_differences(c, child) == 1]
        found["".join(str(option) for option in close[0].values()) if len(close) == 1 else "?"] += 1
    return found


def test_golden_trajectory() -> None:
    strategy = RegularizedEvolution(population_size=4, tournament_size=2, crossover_prob=0.5)
    configs = run_trials(strategy.searcher(SPACE, costs={}, seed=0), SPACE.result, 12)
    assert [" ".join(map(str, config["arch"].values())) for config in configs] == [
        "4 3 2 1 linear",
        "0 0 0 0",
        "4 3 4 2 cosine",
        "4 3 3 2 cosine",
        "4 3 3 2 linear",
        "4 3 4 2 linear",
        "0 3 3 2",
        "4 2 4 2 linear",
        "4 3 4 4 cosine",
        "4 3 4 4 linear",
        "4 0 4 4 cosine",
        "2 3 4 4",
    ]


def test_starts_with_a_random_population() -> None:
    evolution = RegularizedEvolution(population_size=10).searcher(SPACE, costs={}, seed=5)
    random = RandomSearch().searcher(SPACE, costs={}, seed=5)
    assert run_trials(evolution, SPACE.result, 10) == run_trials(random, SPACE.result, 10)
    assert run_trials(evolution, SPACE.result, 11) != run_trials(random, SPACE.result, 11)


def test_a_child_is_a_mutation_of_a_member() -> None:
    searcher = made(population_size=5, tournament_size=2)
    for i in range(30):
        members = [member.arch for member in searcher.population]
        config = searcher.suggest(str(i))
        child = SPACE.from_config(config)
        assert i < 5 or min(n_differences(child, member) for member in members) == 1
        searcher.on_trial_complete(str(i), SPACE.result(config))


def test_the_oldest_dies_however_good() -> None:
    searcher = made(population_size=3, tournament_size=3)
    observe(searcher, "4400", 1.0)
    for digits, accuracy in (("0000", 0.1), ("0011", 0.2), ("0022", 0.3)):
        observe(searcher, digits, accuracy)
    assert [member.arch for member in searcher.population] == [arch("0000"), arch("0011"), arch("0022")]


@pytest.mark.parametrize("size", [1, 3, 4])
def test_the_tournament_draws_from_the_whole_population_with_replacement(size: int) -> None:
    """Algorithm 1: "the element stays in the population", so the best of 4 is missing in (3/4)^S of the tournaments."""
    everyone = ("0000", 0.4), ("1111", 0.3), ("2222", 0.2), ("3333", 0.1)
    searcher = made(population_size=4, tournament_size=size)
    members = [observe(searcher, digits, accuracy) for digits, accuracy in everyone]
    parents = parents_of(searcher, *members, n=2000)
    for place, (digits, _) in enumerate(everyone):
        share = ((4 - place) / 4) ** size - ((3 - place) / 4) ** size
        assert parents[digits] / 2000 == pytest.approx(share, abs=0.04)


def test_the_tournament_goes_by_the_goal() -> None:
    goal = Goal.parse("accuracy", "params <= 10")
    searcher = made(goal, population_size=2, tournament_size=2)
    members = observe(searcher, "0000", 0.9, params=11), observe(searcher, "1111", 0.1, params=10)
    parents = parents_of(searcher, *members, n=1000)
    assert parents["1111"] / 1000 == pytest.approx(3 / 4, abs=0.04)


def test_with_several_objectives_the_front_wins() -> None:
    goal = read_goal(["accuracy", "params"])
    searcher = made(goal, population_size=3, tournament_size=3)
    members = [observe(searcher, "0000", 0.9, params=9), observe(searcher, "1111", 0.1, params=1)]
    members.append(observe(searcher, "2222", 0.1, params=9))
    parents = parents_of(searcher, *members, n=3000)
    # What is dominated wins only where it stands alone.
    assert parents["2222"] / 3000 == pytest.approx(1 / 27, abs=0.015)
    assert parents["0000"] > 600 < parents["1111"]


@pytest.mark.parametrize("crossover_prob", [0.0, 0.3, 1.0])
def test_crossover_mixes_two_parents_as_often_as_asked(crossover_prob: float) -> None:
    searcher = made(population_size=2, tournament_size=1, crossover_prob=crossover_prob)
    observe(searcher, "0000", 0.5)
    observe(searcher, "1111", 0.5)
    children = [searcher.propose() for _ in range(1000)]
    # Half of the pairs are two parents, 14 of 16 mixes have something of both, and 3 of 4 mutations of those stay two
    # decisions away from each parent; a mutation of a parent never is.
    mixed = sum(min(n_differences(child, arch(d)) for d in ("0000", "1111")) >= 2 for child in children)
    assert mixed / 1000 == pytest.approx(1 / 2 * 14 / 16 * 3 / 4 * crossover_prob, abs=0.04)
    assert (mixed == 0) == (crossover_prob == 0)


def test_failures_are_no_members() -> None:
    searcher = made(population_size=2, tournament_size=1)
    searcher.observe(Evaluation(arch("0000"), {"accuracy": 0.5}, status="failed"))
    assert len(searcher.population) == 0


def test_what_runs_counts_for_the_first_population() -> None:
    """With many trials at a time the start is not longer, and needs no result to go on."""
    searcher = made(population_size=3, tournament_size=1)
    configs = [searcher.suggest(str(i)) for i in range(3)]
    assert isinstance(searcher.suggest("without any result"), dict)
    searcher.on_trial_complete("0", SPACE.result(configs[0]))
    only = SPACE.from_config(configs[0])
    assert n_differences(SPACE.from_config(searcher.suggest("child")), only) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"population_size": 1, "tournament_size": 1}, "population_size >= 2 and 1 <= tournament_size"),
        ({"population_size": 5, "tournament_size": 6}, "got 5 and 6"),
        ({"tournament_size": 0}, "got 20 and 0"),
        ({"crossover_prob": 1.1}, r"crossover_prob must be in \[0, 1\], got 1.1"),
        ({"crossover_prob": -0.1}, "got -0.1"),
        ({"crossover_prob": float("nan")}, "got nan"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RegularizedEvolution(**settings)
