from collections import Counter

import numpy as np
import pytest

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.strategies import NSGA2
from raynas.strategies.evolution.generations import MAX_CHILDREN
from raynas.strategies.evolution.nsga2 import NSGA2Searcher
from raynas.testing import ToySpace
from tests.strategies.evolution.digits import SPACE, arch, evaluation, made, n_differences


def test_parents_win_binary_tournaments() -> None:
    """Of n members, the one at place k wins (2 (n - k) - 1) / n² of the tournaments drawn with replacement."""
    searcher = made(population_size=4, crossover_prob=0.0, mutation_prob=0.0)
    for i in range(4):
        searcher.observe(evaluation(f"{i}" * 4, accuracy=0.1 * i))
    n = 4000
    wins = Counter(str(searcher.child(searcher.population)["layers.0"]) for _ in range(n))
    for place, name in enumerate("3210"):
        assert wins[name] / n == pytest.approx((2 * (4 - place) - 1) / 16, abs=0.03)


@pytest.mark.parametrize(("mutation_prob", "expected"), [(None, 1.0), (0.5, 2.0), (0.0, 0.0)])
def test_each_decision_mutates_as_often_as_asked(mutation_prob: float | None, expected: float) -> None:
    searcher = made(population_size=2, crossover_prob=0.0, mutation_prob=mutation_prob)
    parents = [evaluation("0000", accuracy=1.0)]
    changed = [n_differences(searcher.child(parents), arch("0000")) for _ in range(3000)]
    assert np.mean(changed) == pytest.approx(expected, abs=0.07)
    assert (max(changed) == 0) == (expected == 0)


def test_a_copy_of_its_parent_has_one_decision_changed() -> None:
    searcher = made(population_size=2, crossover_prob=0.0, mutation_prob=0.0)
    parents = [evaluation("0000", accuracy=0.2), evaluation("1111", accuracy=0.1)]
    for parent in parents:
        searcher.observe(parent)
    children = [searcher.propose() for _ in range(100)]
    assert {min(n_differences(child, parent.arch) for parent in parents) for child in children} == {1}


@pytest.mark.parametrize("crossover_prob", [0.0, 0.5, 1.0])
def test_crossover_mixes_two_parents_as_often_as_asked(crossover_prob: float) -> None:
    searcher = made(population_size=2, crossover_prob=crossover_prob, mutation_prob=0.0)
    parents = [evaluation("0000", accuracy=0.5), evaluation("1111", accuracy=0.5)]
    children = [searcher.child(parents) for _ in range(3000)]
    mixed = sum(0 < sum(map(int, child.values())) < 4 for child in children)
    # Three tournaments in four are won by the first, so 6 pairs in 16 are two parents; 14 mixes in 16 have of both.
    assert mixed / 3000 == pytest.approx(6 / 16 * 14 / 16 * crossover_prob, abs=0.03)


def test_the_best_of_more_random_architectures_are_the_first_population() -> None:
    searcher = made(population_size=2, n_initial=5)
    for i in range(5):
        assert len(searcher.population) == 0
        searcher.observe(evaluation(f"{i}000", accuracy=0.1 * i))
    assert [e.metrics["accuracy"] for e in searcher.population] == [0.4, pytest.approx(0.3)]
    assert NSGA2Searcher(SPACE, settings=NSGA2(population_size=20))._n_initial == 20


def test_useless_children_are_made_again_but_not_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    searcher = made(population_size=2)
    for i in range(2):
        searcher.observe(evaluation(f"{i}000", accuracy=0.5))
    refused: list[Architecture] = []

    def refuses(child: Architecture) -> bool:
        refused.append(child)
        return len(refused) <= 3

    monkeypatch.setattr(searcher, "is_useless", refuses)
    assert searcher.propose() == refused[-1] and len(refused) == 4
    monkeypatch.setattr(searcher, "is_useless", lambda child: refuses(child) or True)
    assert searcher.propose() == refused[-1] and len(refused) == 4 + MAX_CHILDREN


def test_nothing_is_proposed_that_is_known_or_running() -> None:
    space = ToySpace(n_layers=2, n_options=3)
    searcher = NSGA2Searcher(space, settings=NSGA2(population_size=2, n_initial=2, crossover_prob=0.0))
    configs = [searcher.suggest(str(i)) for i in range(3)]
    for i, config in enumerate(configs):
        searcher.on_trial_complete(str(i), space.result(config))
    known = {space.from_config(config) for config in configs}
    running = space.from_config(searcher.suggest("running"))
    proposals = [searcher.propose() for _ in range(50)]
    assert not (known | {running}) & set(proposals)
    assert not searcher.archive.events("duplicate")


def test_failures_are_no_members() -> None:
    searcher = made(population_size=2)
    for i in range(5):
        searcher.observe(Evaluation(arch(f"000{i}"), {"accuracy": 0.5}, status="failed"))
    assert len(searcher.population) == 0 and not searcher.children


def test_children_of_a_slow_generation_count_for_the_next() -> None:
    """There is no barrier: while one trial of a generation runs, further children are made from the same parents."""
    searcher = made(population_size=2, n_children=2)
    configs = [searcher.suggest(str(i)) for i in range(2)]
    assert isinstance(searcher.suggest("more"), dict)
    for i in range(2):
        searcher.on_trial_complete(str(i), SPACE.result(configs[i]))
    first = list(searcher.population)
    slow, quick, next_one = (searcher.suggest(name) for name in ("slow", "quick", "next"))
    assert isinstance(slow, dict)
    searcher.on_trial_complete("quick", SPACE.result(quick))
    assert list(searcher.population) == first
    searcher.on_trial_complete("next", SPACE.result(next_one))
    assert not searcher.children and len(searcher.population) == 2
    searcher.on_trial_complete("slow", SPACE.result(slow))
    assert [e.arch for e in searcher.children] == [SPACE.from_config(slow)]
