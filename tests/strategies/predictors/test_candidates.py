from collections.abc import Iterable

import numpy as np

from raynas.core.architecture import Architecture
from raynas.core.cost_limits import CostLimits
from raynas.core.feasible_region import FeasibleRegion
from raynas.metrics import read_goal
from raynas.strategies.predictors.candidates import Candidates
from raynas.testing import ToySpace

SPACE = ToySpace(n_layers=3, n_options=4)


class Twins(ToySpace):
    """All architectures with the same sum compute the same function."""

    def function_key(self, arch: Architecture) -> float:
        return self.accuracy(arch)


def region(space: ToySpace, *constraints: str) -> FeasibleRegion:
    limits = CostLimits(space, {"params": space.params})
    return FeasibleRegion(space, limits, read_goal("accuracy", constraints), np.random.default_rng(0))


def candidates(space: ToySpace = SPACE, max_enumerated: float = 0, merges_twins: bool = False) -> Candidates:
    return Candidates(
        space,
        merges_twins=merges_twins,
        max_enumerated=int(max_enumerated),
        n_candidates=40,
        rng=np.random.default_rng(0),
        region=region(space),
    )


def mean_distance(best: Architecture, archs: Iterable[Architecture]) -> float:
    return float(
        np.mean([sum(best[name] != option for name, option in arch.items() if name in best) for arch in archs])
    )


def test_a_small_space_is_ranked_as_a_whole() -> None:
    whole = candidates(max_enumerated=SPACE.size)
    assert whole.are_whole_space and whole.pool([]) is whole.pool([])
    assert set(whole.pool([]).archs) == set(SPACE.enumerate())
    assert not candidates(max_enumerated=SPACE.size - 1).are_whole_space


def test_twins_are_one_candidate_where_they_are_merged() -> None:
    space = Twins(n_layers=2, n_options=3)
    n_functions = len({space.accuracy(arch) for arch in space.enumerate()})
    assert len(candidates(space, 100, merges_twins=True).whole()) == n_functions < space.size
    assert len(candidates(space, 100).whole()) == space.size


def test_candidates_of_a_large_space_are_near_the_best() -> None:
    """A quarter is drawn, half are mutations of the best, a quarter crossovers, which have nothing else here."""
    best = SPACE.canonical({"layers.0": 3, "layers.1": 3, "layers.2": 3, "head": "cosine"})
    drawn = candidates()
    pool = drawn.pool([best])
    assert best in pool.archs and 10 < len(pool) <= 40
    assert mean_distance(best, pool.archs) < mean_distance(best, SPACE.enumerate())
    assert drawn.pool([best]).scales == pool.scales


def test_climbing_adds_neighbours_of_the_most_promising() -> None:
    drawn = candidates()
    pool = drawn.pool([SPACE.sample(np.random.default_rng(1))])
    before = list(pool.archs)
    ranks = np.array([SPACE.accuracy(arch) for arch in before])
    assert drawn.climb(pool, ranks)
    centres = [before[i] for i in np.argsort(-ranks, kind="stable")[:3]]
    near = {near for centre in centres for near in SPACE.neighbours(centre)}
    assert pool.archs[: len(before)] == before and set(pool.archs[len(before) :]) <= near
    everything = candidates(max_enumerated=SPACE.size)
    assert not everything.climb(everything.whole(), np.arange(SPACE.size))


def test_draws_are_new_while_there_is_anything_new() -> None:
    whole = candidates(max_enumerated=SPACE.size)
    everyone = list(SPACE.enumerate())
    keys = [whole.key(arch) for arch in everyone]
    assert whole.draw_new(set(keys[:-1])) == everyone[-1]
    assert whole.draw_new(set(keys)) is None
    sampled = candidates()
    assert all(sampled.draw_new({keys[0]}) != everyone[0] for _ in range(50))
    assert sampled.draw_new(set(keys)) in everyone  # after many tries


def test_samples_of_an_enumerated_space_do_not_repeat() -> None:
    whole = candidates(max_enumerated=SPACE.size)
    assert len(set(whole.sample(30))) == 30
    assert sorted(map(str, whole.sample(10_000))) == sorted(map(str, SPACE.enumerate()))
    assert len(candidates().sample(30)) == 30
