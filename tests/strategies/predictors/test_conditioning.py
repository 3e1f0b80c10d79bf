from typing import Any

import numpy as np
from numpy.typing import NDArray

from raynas.strategies.predictors.conditioning import Conditioning

NOISE = 0.1
POINTS = np.random.default_rng(0).standard_normal((40, 4))
KERNEL: NDArray[Any] = np.exp(-0.5 * ((POINTS[:, None] - POINTS) ** 2).sum(-1))


def check(given: Conditioning, n_pool: int = 40) -> None:
    """Compare with a computation from the beginning."""
    some = given.indices
    covariances = KERNEL[np.ix_(some, some)] + NOISE * np.eye(len(some))
    np.testing.assert_allclose(given.covariances, covariances, atol=1e-12)
    np.testing.assert_allclose(given.lower @ given.lower.T, covariances, atol=1e-12)
    np.testing.assert_allclose(given.lower @ given.rows, KERNEL[some, :n_pool], atol=1e-12)
    across = KERNEL[some, :n_pool]
    np.testing.assert_allclose(given.explained, (across * np.linalg.solve(covariances, across)).sum(0), atol=1e-12)


def test_blocks_of_any_size_make_one_factor() -> None:
    given = Conditioning()
    given.restart(40)
    for block in ([3, 8, 3], [20], [0, 8, 31, 39]):  # two of them twice
        given.append(block, KERNEL[block].copy(), NOISE)
        check(given)
    assert given.indices == [3, 8, 3, 20, 0, 8, 31, 39]


def test_the_first_are_kept() -> None:
    given = Conditioning()
    given.restart(40)
    given.append([1, 2, 3, 4], KERNEL[[1, 2, 3, 4]].copy(), NOISE)
    given.keep(2)
    assert given.indices == [1, 2]
    check(given)
    given.append([9], KERNEL[[9]].copy(), NOISE)
    check(given)


def test_a_pool_grows_and_another_begins() -> None:
    given = Conditioning()
    given.restart(30)
    given.append([1, 2], KERNEL[[1, 2], :30].copy(), NOISE)
    given.widen(KERNEL[[1, 2], 30:].copy())
    check(given)
    given.restart(20)
    assert given.indices == [] and not given.explained.any()
    given.append([5], KERNEL[[5], :20].copy(), NOISE)
    check(given, 20)
