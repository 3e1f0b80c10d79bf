"""Stratified splits."""

import numpy as np

from raynas.data.splitting import stratified_split


def test_a_stratified_split_takes_its_share_of_each_class() -> None:
    labels = np.array([0] * 50 + [1] * 10 + [2] * 2 + [3])
    kept, held_out = stratified_split(labels, 0.2)
    assert np.bincount(labels[held_out], minlength=4).tolist() == [10, 2, 1, 0]
    assert sorted([*kept, *held_out]) == list(range(63))
