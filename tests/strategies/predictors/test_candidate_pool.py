from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pytest

from raynas.core.architecture import Architecture
from raynas.core.decision import Categorical, Decision
from raynas.core.space import SearchSpace
from raynas.strategies.predictors.candidate_pool import CandidatePool, Identities
from raynas.testing import ToySpace
from tests.strategies.predictors.pools import SPACE, scored_pool

RNG = np.random.default_rng(0)


class Cells(SearchSpace):
    input_shape = (1,)

    @property
    def decisions(self) -> Sequence[Decision]:
        return [Categorical("a", ("x", "y"))]

    def build(self, arch: Architecture) -> Any:
        raise NotImplementedError


def test_features_default_to_the_encoding() -> None:
    arch = Architecture({"a": "y"})
    features = Cells().features(arch)
    assert list(features) == ["decisions"] and list(features["decisions"]) == [0, 1]
    assert Cells().function_key(arch) == arch


def test_a_scored_pool_is_a_part_with_one_more_group() -> None:
    ranks = RNG.standard_normal((40, 2))
    part = scored_pool(ranks, as_features=True)
    assert len(part) == 40 and [part.index(arch) for arch in part.archs] == list(range(40))
    groups = [*SPACE.features(part.archs[0]), "zero_cost"]
    assert list(part.scales or ()) == groups and len(part.groups) == len(groups)
    squared = ((part.groups[-1][:, None] - part.groups[-1]) ** 2).sum(axis=2)
    assert squared.mean() == pytest.approx(ranks.var(axis=0).mean(), rel=1e-6)  # 1, if the ranks have variance 1
    assert len(scored_pool(ranks).groups) == len(groups) - 1


class Sums(ToySpace):
    """Architectures with the same sum compute the same function."""

    def function_key(self, arch: Architecture) -> Hashable:
        return self.accuracy(arch)


def test_architectures_in_codes_are_the_same_members() -> None:
    archs = [SPACE.sample(np.random.default_rng(seed % 20)) for seed in range(30)]
    by_codes, by_name = CandidatePool(SPACE), CandidatePool(SPACE)
    by_codes.add_codes(SPACE.coded.encode(archs))
    by_name.add(archs)
    assert by_codes.archs == by_name.archs == list(dict.fromkeys(archs))
    assert by_codes.indices(archs) == by_name.indices(archs) and by_codes.arch(7) == archs[7]
    assert all((a == b).all() for a, b in zip(by_codes.groups, by_name.groups, strict=True))
    by_codes.add_codes(SPACE.coded.encode(archs))
    assert len(by_codes) == len(by_name) == 20


def test_codes_of_twins_are_one_member_where_they_are_merged() -> None:
    space = Sums(n_layers=2, n_options=3)
    codes = space.coded.encode(space.enumerate())
    merged, apart = CandidatePool(space, Identities(space, merges_twins=True)), CandidatePool(space)
    merged.add_codes(codes)
    apart.add_codes(codes)
    assert len(merged) == len({space.accuracy(arch) for arch in space.enumerate()}) < len(apart) == space.size
    assert all(merged.index(arch) is not None for arch in space.enumerate())
