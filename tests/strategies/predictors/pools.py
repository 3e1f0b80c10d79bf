"""Pools of candidates."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from raynas.core.architecture import Architecture
from raynas.search_spaces import NASBench201
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.testing import ToySpace

CELLS = NASBench201()

SPACE = ToySpace(n_layers=7, n_options=4)
"""Of 20,480 members."""


def sampled(n: int, seed: int = 0) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return [CELLS.sample(rng) for _ in range(n)]


def pool(archs: Sequence[Architecture]) -> CandidatePool:
    found = CandidatePool(CELLS)
    found.add(archs)
    return found


def scored_pool(ranks: Any, as_features: bool = False) -> CandidatePool:
    pool = CandidatePool(SPACE)
    rng = np.random.default_rng(0)
    pool.add(SPACE.sample(rng) for _ in range(60))
    return pool.screened(range(10, 50), np.asarray(ranks)[:40], as_features=as_features)
