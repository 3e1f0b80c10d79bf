"""Moves of many architectures at once against the rules of the space, which moves one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from ray import tune

from raynas.core.architecture import Architecture, Option
from raynas.core.coded_decisions import CodedDecisions
from raynas.core.decision import Categorical, Decision, Integer, Real
from raynas.core.decision_space import DecisionSpace
from raynas.core.joint_space import JointSpace
from raynas.search_spaces import CNN, DARTS, Hierarchical, NASBench201
from raynas.testing import ToySpace

SPACES: Mapping[str, Callable[[], DecisionSpace]] = {
    "conditional": CNN,
    "cells": DARTS,
    "any of several conditions": lambda: Hierarchical(n_motifs=2, cell_nodes=3),
    "hyperparameters": lambda: JointSpace(
        NASBench201(),
        {"lr": tune.loguniform(1e-4, 1e-1), "batch": tune.lograndint(8, 512), "decay": tune.quniform(0.0, 1.0, 0.1)},
    ),
}


class Odd(Categorical):
    """Active with an odd depth, by a rule of its own, and never "c" by chance."""

    def is_active(self, options: Mapping[str, Option]) -> bool:
        return int(options["depth"]) % 2 == 1

    def sample(self, rng: np.random.Generator) -> Option:
        return "ab"[int(rng.integers(2))]


class Listed(DecisionSpace):
    def __init__(self, *decisions: Decision) -> None:
        self._listed = decisions

    @property
    def decisions(self) -> Sequence[Decision]:
        return self._listed


@pytest.fixture(scope="module", params=SPACES)
def space(request: pytest.FixtureRequest) -> DecisionSpace:
    return SPACES[request.param]()


def decoded(coded: CodedDecisions, codes: Any) -> list[Architecture]:
    return [coded.decode(row) for row in codes]


def distance(first: Architecture, second: Architecture) -> int:
    return sum(first[name] != second[name] for name in first.keys() & second.keys())


def test_codes_are_read_back(space: DecisionSpace) -> None:
    rng = np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(20)]
    codes = space.coded.encode(archs)
    assert decoded(space.coded, codes) == archs
    assert len({row.tobytes() for row in codes}) == len(set(archs))


def test_moves_are_canonical_members(space: DecisionSpace) -> None:
    coded, rng = space.coded, np.random.default_rng(1)
    drawn = coded.sample(40, rng)
    mutated, crossed = coded.mutate(drawn, rng), coded.crossover(drawn, drawn[::-1], rng)
    archs = decoded(coded, np.vstack((drawn, mutated, crossed)))
    assert all(space.canonical(arch) == arch for arch in archs)
    for before, after in zip(archs[:40], archs[40:80], strict=True):
        assert distance(before, after) == 1
    for child, first, second in zip(archs[80:], archs[:40], archs[:40][::-1], strict=True):
        for name in child.keys() & (first.keys() | second.keys()):
            assert child[name] in (first.get(name), second.get(name))


def test_neighbours_are_those_of_the_space_in_its_order(space: DecisionSpace) -> None:
    arch = space.sample(np.random.default_rng(2))
    (row,) = space.coded.encode([arch])
    assert decoded(space.coded, space.coded.neighbours(row)) == list(space.neighbours(arch))


def test_draws_and_changes_are_uniform() -> None:
    space, rng = ToySpace(n_layers=2, n_options=4), np.random.default_rng(3)
    drawn = space.coded.sample(8000, rng)
    shares = [np.bincount(drawn[:, j], minlength=4) / 8000 for j in (0, 1)]
    np.testing.assert_allclose(shares, 0.25, atol=0.02)
    assert ((drawn[:, 2] != -1) == (drawn[:, 0] == 3)).all()
    start = np.repeat(space.coded.encode([Architecture({"layers.0": 1, "layers.1": 2})]), 8000, axis=0)
    changed = space.coded.mutate(start, rng)
    assert abs((changed[:, 0] != 1).mean() - 0.5) < 0.02
    others = np.bincount(changed[changed[:, 0] != 1, 0], minlength=4) / (changed[:, 0] != 1).sum()
    np.testing.assert_allclose(others, [1 / 3, 0, 1 / 3, 1 / 3], atol=0.03)


def test_crossover_takes_half_from_each() -> None:
    coded = CodedDecisions([Categorical(f"d{i}", "xy") for i in range(2000)])
    ends = coded.encode([Architecture({f"d{i}": option for i in range(2000)}) for option in "xy"])
    child = coded.crossover(ends[:1], ends[1:], np.random.default_rng(4))
    assert abs(child.mean() - 0.5) < 0.05


def test_a_decision_with_rules_of_its_own_is_asked() -> None:
    space = Listed(Integer("depth", 1, 4), Odd("odd", "abc"), Real("rate", active_if={"odd": ("a",)}))
    drawn = decoded(space.coded, space.coded.sample(200, np.random.default_rng(5)))
    assert all(("odd" in arch) == (int(arch["depth"]) % 2 == 1) for arch in drawn)
    assert all(("rate" in arch) == (arch.get("odd") == "a") for arch in drawn)
    assert {arch.get("odd") for arch in drawn} == {"a", "b", None}


def test_what_has_no_alternative_stays() -> None:
    codes = Listed(Categorical("only", ("one",))).coded.encode([Architecture({"only": "one"})])
    coded = CodedDecisions([Categorical("only", ("one",))])
    assert (coded.mutate(codes, np.random.default_rng(6)) == codes).all()
