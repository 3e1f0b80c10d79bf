import math
from typing import Any

import numpy as np
import pytest

from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.pareto import hypervolume
from raynas.metrics import read_goal
from raynas.strategies import NSGA2, RandomSearch, Strategy
from raynas.strategies.evolution.nsga2 import NSGA2Searcher
from raynas.testing import ToySpace, run_trials
from tests.strategies.evolution.digits import SPACE, arch, evaluation, made

TWO = Goal.parse(["max:a", "max:b"])


LIMITED = Goal.parse(["max:a", "max:b"], "c <= 10")


def test_golden_trajectory_with_generations_as_in_the_paper() -> None:
    paper = NSGA2(population_size=4, n_initial=4, n_children=4, crossover_prob=0.9, mutation_prob=None)
    searcher = paper.searcher(SPACE, ["accuracy", "params"], costs={}, seed=0)
    configs = run_trials(searcher, SPACE.result, 14)
    assert [" ".join(map(str, config["arch"].values())) for config in configs] == [
        "4 3 2 1 linear",
        "0 0 0 0",
        "4 3 4 2 cosine",
        "4 3 3 2 cosine",
        "3 3 0 2",
        "4 3 4 0 cosine",
        "0 3 4 0",
        "1 3 2 2",
        "2 3 3 2",
        "4 0 0 2 cosine",
        "0 3 0 0",
        "0 2 0 0",
        "0 3 4 2",
        "0 1 4 1",
    ]


def test_starts_with_a_random_population() -> None:
    nsga2, random = (
        s.searcher(SPACE, costs={}, seed=5) for s in (NSGA2(population_size=4, n_initial=10), RandomSearch())
    )
    assert run_trials(nsga2, SPACE.result, 10) == run_trials(random, SPACE.result, 10)
    assert run_trials(nsga2, SPACE.result, 11) != run_trials(random, SPACE.result, 11)


def test_order_is_by_front_then_by_crowding() -> None:
    """Two fronts by hand; in the first, distances are (3 - 1) / 4 + (7 - 4) / 7 and (4 - 2) / 4 + (5 - 0) / 7 …"""
    points = [(0, 7), (1, 5), (2, 4), (4, 0), (0, 6), (1, 4), (0, 3)]
    order = TWO.order([evaluation(a=a, b=b) for a, b in points])
    # The ends of each front come first, then the middle: point 2 (d = 3/4 + 5/7) before point 1 (d = 2/4 + 3/7).
    assert order == [0, 3, 2, 1, 4, 5, 6]


def test_constrained_dominance() -> None:
    """Complying before breaking however good, then the smaller violation, whatever the objectives say."""
    members = [evaluation(a=9, b=9, c=20), evaluation(a=0, b=0, c=10), evaluation(a=5, b=5, c=11)]
    members += [Evaluation(arch("0000"), {}, status="failed"), evaluation(a=1, b=1, c=1)]
    assert LIMITED.order(members) == [4, 1, 2, 0, 3]


def test_what_breaks_a_constraint_dominates_nothing_that_complies() -> None:
    """A and B are one front of complying points; X, which breaks the limit, dominates only A."""
    a, b, x = evaluation(a=1, b=3, c=1), evaluation(a=3, b=1, c=1), evaluation(a=2, b=4, c=11)
    middle = evaluation(a=2, b=2, c=1)
    assert LIMITED.order([middle, a, b, x]) == [1, 2, 0, 3]


def test_one_objective_is_an_order_by_value() -> None:
    values = [0.3, 0.9, 0.9, 0.1, 0.5]
    order = Goal.parse("accuracy").order([evaluation(accuracy=v) for v in values])
    assert [values[i] for i in order] == sorted(values, reverse=True)
    lowest = read_goal("loss").order([evaluation(loss=v) for v in values])
    assert [values[i] for i in lowest] == sorted(values)


def test_the_best_of_parents_and_children_survive() -> None:
    searcher = made(TWO, population_size=3, n_children=3)
    first = [evaluation("0000", a=0, b=9), evaluation("1111", a=9, b=0), evaluation("2222", a=1, b=1)]
    for member in first:
        assert len(searcher.population) == 0
        searcher.observe(member)
    assert list(searcher.population) == [first[0], first[1], first[2]]
    second = [evaluation("0001", a=5, b=5), evaluation("0002", a=0, b=0), evaluation("0003", a=0, b=8)]
    for member in second:
        searcher.observe(member)
    assert {e.arch for e in searcher.population} == {first[0].arch, first[1].arch, second[0].arch}


def test_by_default_every_child_competes_at_once() -> None:
    searcher = made(TWO, population_size=2)
    first = [evaluation("0000", a=0, b=9), evaluation("1111", a=1, b=1)]
    for member in first:
        searcher.observe(member)
    searcher.observe(evaluation("2222", a=2, b=2))
    assert {e.metrics["a"] for e in searcher.population} == {0, 2} and not searcher.children
    searcher.observe(evaluation("3333", a=1, b=0))
    assert {e.metrics["a"] for e in searcher.population} == {0, 2}


@pytest.mark.parametrize(("n_trials", "expected"), [(1, 4), (100, 4), (125, 5), (400, 16), (2500, 100), (25_000, 100)])
def test_the_population_grows_with_the_budget(n_trials: int, expected: int) -> None:
    assert NSGA2().for_budget(n_trials) == NSGA2(population_size=expected)
    assert NSGA2(population_size=20).for_budget(n_trials) == NSGA2(population_size=20)


def test_an_unknown_budget_is_a_small_one() -> None:
    searcher = NSGA2().searcher(SPACE, costs={}, seed=0)
    run_trials(searcher, SPACE.result, 12)
    assert isinstance(searcher, NSGA2Searcher) and len(searcher.population) == 4


def test_the_last_front_is_cut_by_crowding() -> None:
    searcher = made(TWO, population_size=3)
    front = [evaluation(f"000{i}", a=a, b=9 - a) for i, a in enumerate((0, 1, 9))]
    front += [evaluation(f"001{i}", a=a, b=9 - a) for i, a in enumerate((5, 2, 3))]
    for member in front:
        searcher.observe(member)
    assert sorted(e.metrics["a"] for e in searcher.population) == [0, 5, 9]


def front_volume(strategy: Strategy, seed: int) -> float:
    """Like ZDT1 (Zitzler et al. 2000): one decision moves along the front, the others lead to it."""
    space = ToySpace(n_layers=8, n_options=5)

    def result(config: dict[str, Any]) -> dict[str, float]:
        first, *others = (config["arch"][f"layers.{i}"] / 4 for i in range(8))
        g = 1 + 9 * float(np.mean(others))
        return {"x": first, "y": g * (1 - math.sqrt(first / g)), "training_iteration": 1}

    searcher = strategy.searcher(space, ["min:x", "min:y"], costs={}, seed=seed)
    run_trials(searcher, result, 200)
    scores = [searcher.goal.scores(e) for e in searcher.archive.evaluations]
    return hypervolume(scores, [-1.1, -6.0])


def test_comes_nearer_to_a_known_front_than_random_search() -> None:
    best = hypervolume([(-x, -(1 - math.sqrt(x))) for x in (0, 0.25, 0.5, 0.75, 1)], [-1.1, -6.0])
    volumes = {s: np.mean([front_volume(s, seed) for seed in range(2)]) for s in (NSGA2(), RandomSearch())}
    assert volumes[NSGA2()] > 0.9 * best
    assert volumes[RandomSearch()] < 0.8 * best


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"population_size": 1}, "population_size >= 2, got 1"),
        ({"n_initial": 0}, "n_initial >= 1 and n_children >= 1, got 0 and 1"),
        ({"n_children": 0}, "n_initial >= 1 and n_children >= 1, got 12 and 0"),
        ({"crossover_prob": 1.1}, r"crossover_prob in \[0, 1\], got 1.1"),
        ({"mutation_prob": float("nan")}, r"mutation_prob in \[0, 1\], got nan"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NSGA2(**settings)
