"""Stratified splits that do not depend on the seed of a run."""

import numpy as np
from numpy.typing import NDArray

SPLIT_SEED = 0
"""The held-out splits must not depend on a run's seed: a test image of one run would be trained on in the next."""


def stratified_split(labels: NDArray[np.int64], share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split the indices of the labels, ``share`` of each class into the second part; both parts are ascending.

    A class with at least two examples has at least one in each part.
    """
    rng = np.random.default_rng(SPLIT_SEED)
    held_out = np.zeros(len(labels), dtype=bool)
    by_class = np.argsort(labels, kind="stable")
    _, starts = np.unique(labels[by_class], return_index=True)
    for members in np.split(by_class, starts[1:]):
        n = min(max(round(share * len(members)), 1), len(members) - 1)
        held_out[rng.permutation(members)[:n]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def some_of(n: int, most: int) -> NDArray[np.int64]:
    """Return a sample of ``most`` of the indices below ``n``, ascending and always the same; all if there are fewer."""
    rng = np.random.default_rng(SPLIT_SEED)
    return np.sort(rng.choice(n, min(n, most), replace=False))
