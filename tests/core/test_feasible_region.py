from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from ray import tune

from raynas.core.architecture import Architecture
from raynas.core.cost_limits import CostLimits, Costs
from raynas.core.feasible_region import MAX_ENUMERATED, MAX_UNREPAIRED, PATIENCE, FeasibleRegion, Test
from raynas.core.joint_space import JointSpace
from raynas.core.space import SearchSpace
from raynas.metrics import read_goal
from raynas.strategies import RandomSearch, RegularizedEvolution, Strategy
from raynas.testing import ToySpace, run_trials

SMALL, LARGE = ToySpace(n_layers=5), ToySpace(n_layers=8)
assert SMALL.size < MAX_ENUMERATED < LARGE.size


def region_of(
    space: SearchSpace, *constraints: str, costs: Costs | None = None, n_measured: int = 0
) -> tuple[FeasibleRegion, CostLimits]:
    limits = CostLimits(space, costs or {"params": SMALL.params})
    goal = read_goal("accuracy", constraints)
    rng = np.random.default_rng(0)
    for _ in range(n_measured):
        limits.refusal(space.sample(rng), goal)
    return FeasibleRegion(space, limits, goal, rng), limits


def small_region_of(space: SearchSpace, *constraints: str, costs: Costs | None = None) -> tuple[FeasibleRegion, Test]:
    """Return a region after one refusal after another, and what measures a point."""
    region, limits = region_of(space, *constraints, costs=costs)
    for _ in range(PATIENCE):
        region.repaired(space.sample(region.rng), lambda point: False, lambda point: False)
    return region, lambda point: not limits.refusal(point, region.goal)


def test_it_is_small_after_refusals_in_a_row_and_stays_so() -> None:
    region, limits = region_of(SMALL, "params <= 2000")
    dear = Architecture({f"layers.{i}": 2 for i in range(5)})

    def refuse(n: int) -> list[Architecture | None]:
        return [region.repaired(dear, lambda p: True, lambda p: not limits.refusal(p, region.goal)) for _ in range(n)]

    assert refuse(PATIENCE - 1) == [None] * (PATIENCE - 1)
    region.note_accepted()
    assert refuse(PATIENCE - 1) == [None] * (PATIENCE - 1)
    assert not region.is_small and region.includes(SMALL.coded.sample(50, region.rng)).all()
    assert refuse(1) != [None]
    region.note_accepted()
    assert region.is_small and region.includes(SMALL.coded.sample(500, region.rng)).sum() < 10
    assert None not in refuse(3)


def test_it_is_exhausted_when_nothing_is_found_again_and_again() -> None:
    region, limits = region_of(SMALL, "params <= 999")
    dear = Architecture({f"layers.{i}": 2 for i in range(5)})
    for _ in range(PATIENCE + MAX_UNREPAIRED - 1):
        assert not region.exhaustion
        assert region.repaired(dear, lambda p: True, lambda p: not limits.refusal(p, region.goal)) is None
    assert region.exhaustion == "no further architecture was found that meets params <= 999"
    region.note_accepted()
    assert not region.exhaustion


@pytest.mark.parametrize("space", [SMALL, LARGE, JointSpace(LARGE, {"lr": tune.loguniform(1e-3, 1)})])
@pytest.mark.parametrize("constraints", [["params <= 2000"], ["params >= 15000"], ["params >= 3e3", "params < 4001"]])
def test_points_that_are_drawn_comply(space: SearchSpace, constraints: list[str]) -> None:
    if space is not SMALL and "15000" in constraints[0]:
        constraints = ["params >= 24000"]
    region, complies = small_region_of(space, *constraints)
    points = [region.sample(lambda point: True, complies) for _ in range(10)]
    assert [complies(point) for point in points if point] == [True] * 10


@pytest.mark.parametrize("space", [SMALL, LARGE])
def test_each_member_is_drawn_once_and_then_none(space: ToySpace) -> None:
    region, complies = small_region_of(space, "params <= 2000")
    seen: list[Architecture] = []
    while (point := region.sample(lambda p: p not in seen, complies)) is not None:
        seen.append(point)
    assert len(seen) == 1 + space.n_layers


def test_members_of_a_small_space_are_drawn_alike() -> None:
    region, complies = small_region_of(SMALL, "params <= 2000")
    counts = Counter(region.sample(lambda point: True, complies) for _ in range(3000))
    assert len(counts) == 6 and min(counts.values()) > 400


@pytest.mark.parametrize("cost", ["params", "of a device"])
def test_repair_changes_little(cost: str) -> None:
    region, limits = region_of(LARGE, f"{cost} <= 12000", costs={cost: LARGE.params}, n_measured=60)
    for sum_of_point in (13, 16):
        point = Architecture({f"layers.{i}": min(2, max(sum_of_point - 2 * i, 0)) for i in range(8)})
        made = next(p for p in region.near(point, lambda p: True) if not limits.refusal(p, region.goal))
        changed = [name for name in point if made[name] != point[name]]
        assert len(changed) <= sum_of_point - 11, "the least is half of that"


def test_repair_keeps_hyperparameters() -> None:
    space = JointSpace(LARGE, {"lr": tune.loguniform(1e-3, 1.0), "epochs": 3})
    region, limits = region_of(space, "params <= 2000")
    for _ in range(5):
        point = space.sample(region.rng)
        made = next(p for p in region.near(point, lambda p: True) if not limits.refusal(p, region.goal))
        assert made["lr"] == point["lr"]


def test_costs_that_take_time_are_not_measured_for_the_surrogate() -> None:
    def never(arch: Architecture) -> bool:
        raise AssertionError

    region, _ = small_region_of(LARGE, "of a device <= 2000", costs={"of a device": never})
    assert not region.has_counted_costs and region.sample(lambda point: True, never) is not None
    region, limits = region_of(LARGE, "params <= 2000")
    assert region.has_counted_costs and region.draw(5).shape == (5, 9)
    assert LARGE.n_features <= len(limits.asked["params"]) <= 2 * LARGE.n_features


def test_a_surrogate_that_is_wrong_is_corrected() -> None:
    def jagged(arch: Architecture) -> float:
        """No sum of options: dear wherever two layers that follow each other are equal."""
        layers = [int(arch[f"layers.{i}"]) for i in range(8)]
        return sum(layers) + 9.0 * sum(a == b for a, b in pairwise(layers))

    region, limits = region_of(LARGE, "of a device <= 4", costs={"of a device": jagged}, n_measured=20)
    point, n_measured = LARGE.sample(region.rng), len(limits.asked["of a device"])
    for n, made in enumerate(region.near(point, lambda p: p not in limits.refused)):
        if not limits.refusal(made, region.goal) or n == 300:
            break
    assert n < 300 and len(limits.asked["of a device"]) > n_measured


@pytest.mark.parametrize("strategy", [RandomSearch(), RegularizedEvolution(population_size=5, tournament_size=2)])
def test_a_lax_limit_changes_nothing(strategy: Strategy) -> None:
    """With a third of the space allowed a search draws as it did without a region."""
    searcher = strategy.searcher(SMALL, constraints="params <= 8000", costs={"params": SMALL.params}, seed=1)
    run_trials(searcher, SMALL.result, 40)
    assert searcher.archive.events("refused") and not searcher.archive.events("repaired")
    assert not searcher.region.is_small
