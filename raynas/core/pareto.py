"""Non-dominated rank, crowding distance and hypervolume, all for maximisation (Deb et al. 2002, NSGA-II)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def non_dominated_rank(scores: Sequence[Sequence[float]] | ArrayLike) -> NDArray[np.int64]:
    """Rank points: 0 on the Pareto front, 1 on the front once that is removed, and so on.

    Args:
        scores: ``(n, m)``, larger is better in each of the m columns.

    Returns:
        ``(n,)`` ranks.
    """
    unique, inverse = _sorted_costs(scores)
    ranks = np.full(len(unique), -1, dtype=np.int64)
    left = np.arange(len(unique))
    for rank in range(len(unique)):
        if not len(left):
            break
        front = _front(unique, left)
        ranks[front] = rank
        left = left[ranks[left] < 0]
    return ranks[inverse]


def is_non_dominated(scores: Sequence[Sequence[float]] | ArrayLike) -> NDArray[np.bool_]:
    """Find the points on the Pareto front: those of rank 0, without ranking the rest.

    Args:
        scores: ``(n, m)``, larger is better in each of the m columns.

    Returns:
        ``(n,)``, True on the front.
    """
    unique, inverse = _sorted_costs(scores)
    on_front = np.zeros(len(unique), dtype=np.bool_)
    on_front[_front(unique, np.arange(len(unique)))] = True
    return on_front[inverse]


def _sorted_costs(scores: Sequence[Sequence[float]] | ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the different points as costs, sorted so that none is dominated by a later one, and the index of each."""
    unique, inverse = np.unique(-_matrix(scores), axis=0, return_inverse=True)
    return unique, inverse.reshape(-1)


def _front(costs: NDArray[np.float64], candidates: NDArray[np.int64]) -> list[int]:
    """Return those of the candidates, in order, that no other candidate dominates."""
    front: list[int] = []
    for i in candidates:
        if not (costs[front] <= costs[i]).all(axis=1).any():
            front.append(int(i))
    return front


def crowding_distance(
    scores: Sequence[Sequence[float]] | ArrayLike, ranks: Sequence[int] | NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Compute the distance between a point's neighbours within its front; infinite at the ends of a front.

    Args:
        scores: ``(n, m)``.
        ranks: ``(n,)`` non-dominated ranks; computed if missing.

    Returns:
        ``(n,)`` distances, larger is less crowded.
    """
    points = _matrix(scores)
    ranks = non_dominated_rank(points) if ranks is None else np.asarray(ranks)
    distance = np.zeros(len(points))
    for rank in np.unique(ranks):
        members = np.flatnonzero(ranks == rank)
        for column in points[members].T:
            order = members[np.argsort(column, kind="stable")]
            values = np.sort(column, kind="stable")
            distance[order[[0, -1]]] = np.inf
            span = values[-1] - values[0] if np.isfinite(values).all() else np.inf
            if 0 < span < np.inf:
                distance[order[1:-1]] += (values[2:] - values[:-2]) / span
    return distance


def hypervolume(scores: Sequence[Sequence[float]] | ArrayLike, reference: Sequence[float] | ArrayLike) -> float:
    """Compute the volume that the points dominate above ``reference``, exactly, by slicing along the last objective.

    Args:
        scores: ``(n, m)``, larger is better.
        reference: ``(m,)``, a point worse than those that should count.

    Returns:
        A volume in the product of the objectives' units; 0 if no point is above the reference.
    """
    points = np.maximum(_matrix(scores) - np.asarray(reference, dtype=float), 0.0)
    return _volume(points[(points > 0).all(axis=1)])


def _volume(points: NDArray[np.float64]) -> float:
    if len(points) == 0:
        return 0.0
    if points.shape[1] == 1:
        return float(points.max())
    points = points[np.argsort(-points[:, -1], kind="stable")]
    heights = np.append(points[:, -1], 0.0)
    slices = heights[:-1] - heights[1:]
    return float(sum(_volume(points[: i + 1, :-1]) * s for i, s in enumerate(slices) if s > 0))


def _matrix(scores: Sequence[Sequence[float]] | ArrayLike) -> NDArray[np.float64]:
    matrix = np.asarray(scores, dtype=float)
    return matrix.reshape(len(matrix), -1) if matrix.size else matrix.reshape(0, 1)
