"""Paths of operations through a cell, counted."""

import numpy as np

from tests.search_spaces.test_nasbench201 import SPACE, cell


def test_paths_are_counted() -> None:
    # Edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3.
    features = SPACE.features(cell("skip_connect", "skip_connect", "none", "avg_pool_3x3", *["nor_conv_3x3"] * 2))
    assert set(features) == {"decisions", "counts", "paths", "shape"} and features["paths"].shape == (4 + 16 + 64,)
    assert sorted(features["paths"][features["paths"] > 0]) == [1, 2]  # the pool, and twice skip and convolution
    assert SPACE.features(cell(*["none"] * 6))["paths"].sum() == 0
    assert SPACE.features(cell(*["nor_conv_1x1"] * 6))["paths"].sum() == 4  # the four routes from 0 to 3


def test_the_shape_of_a_cell_counts_what_works_on_its_paths() -> None:
    features = SPACE.features(cell("skip_connect", "skip_connect", "none", "avg_pool_3x3", *["nor_conv_3x3"] * 2))
    n_paths, longest, shortest, *counts = np.expm1(features["shape"]).round(6)
    assert (n_paths, longest, shortest) == (3, 1, 1)  # the pool, and twice a convolution behind a skip
    assert counts == [0, 1, 1, 0, 2, 1]  # 1x1, 3x3, pool: the most on one path, then over all paths
    assert not SPACE.features(cell(*["none"] * 6))["shape"].any()
