import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from raynas.core.pareto import crowding_distance, hypervolume, is_non_dominated, non_dominated_rank

# Few different values, so that points tie and dominate each other.
POINTS = st.integers(1, 4).flatmap(lambda m: st.lists(st.lists(st.integers(0, 5), min_size=m, max_size=m), max_size=14))


def dominates(a: list[int], b: list[int]) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True)) and a != b


def peeled(points: list[list[int]]) -> list[int]:
    """Ranks by the definition: take away what nothing dominates, again and again."""
    ranks = dict.fromkeys(range(len(points)), -1)
    left, rank = set(ranks), 0
    while left:
        front = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        ranks |= dict.fromkeys(front, rank)
        left -= front
        rank += 1
    return list(ranks.values())


@given(POINTS)
def test_rank_is_peeling(points: list[list[int]]) -> None:
    assert non_dominated_rank(points).tolist() == peeled(points)


@given(POINTS)
def test_the_front_is_the_first_rank(points: list[list[int]]) -> None:
    assert is_non_dominated(points).tolist() == [rank == 0 for rank in peeled(points)]


@given(POINTS)
def test_rank_does_not_depend_on_the_order(points: list[list[int]]) -> None:
    assert non_dominated_rank(points[::-1]).tolist() == non_dominated_rank(points).tolist()[::-1]


def test_rank_of_infinite_scores() -> None:
    points = [[-math.inf, 1.0], [0.0, 0.0], [-math.inf, 0.0], [-math.inf, -math.inf]]
    assert non_dominated_rank(points).tolist() == [0, 0, 1, 2]


@given(POINTS)
def test_crowding_distance_is_debs(points: list[list[int]]) -> None:
    """Algorithm crowding-distance-assignment of Deb et al. (2002), front by front; ties in the order of the points."""
    ranks = peeled(points)
    expected = [0.0] * len(points)
    for rank in set(ranks):
        front = [i for i, r in enumerate(ranks) if r == rank]
        for k in range(len(points[0])):
            order = sorted(front, key=lambda i: points[i][k])
            low, high = points[order[0]][k], points[order[-1]][k]
            expected[order[0]] = expected[order[-1]] = math.inf
            for before, i, after in zip(order, order[1:], order[2:], strict=False):
                if high > low:
                    expected[i] += (points[after][k] - points[before][k]) / (high - low)
    assert crowding_distance(points).tolist() == pytest.approx(expected)
    assert crowding_distance(points, ranks).tolist() == pytest.approx(expected)


def test_crowding_distance_of_infinite_scores() -> None:
    front = [[-math.inf, 3.0], [-math.inf, 3.0], [-math.inf, 3.0], [0.0, 2.0], [1.0, 1.0], [2.0, 0.0]]
    assert crowding_distance(front, [0] * 6)[4] == pytest.approx(2 / 3)
    assert not np.isnan(crowding_distance([[-math.inf, -math.inf]] * 3)).any()


@given(POINTS)
def test_hypervolume_counts_the_cells_below(points: list[list[int]]) -> None:
    m = len(points[0]) if points else 1
    cells = itertools.product(range(1, 5), repeat=m)  # unit cells of the grid above the reference (1, ..., 1)
    below = sum(any(all(x > c for x, c in zip(point, cell, strict=True)) for point in points) for cell in cells)
    assert hypervolume(points, [1] * m) == pytest.approx(below)


def test_hypervolume_of_two_boxes() -> None:
    points: NDArray[np.float64] = np.array([[0.9, -20.0], [0.8, -10.0], [0.7, -40.0]])
    # 0.9 * 30 and the part of 0.8 * 40 above it; the third is beyond the reference.
    assert hypervolume(points, [0.0, -50.0]) == pytest.approx(0.9 * 30 + 0.8 * 10)
    assert hypervolume(points, [0.0, -20.0]) == pytest.approx(0.8 * 10)
    assert hypervolume(points[:0], [0.0, -50.0]) == 0


def test_nothing_in_nothing_out() -> None:
    assert non_dominated_rank([]).tolist() == []
    assert is_non_dominated([]).tolist() == []
    assert crowding_distance([]).tolist() == []
