import math
from typing import Any

import numpy as np
import pytest

from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Categorical, Decision, Integer, Real
from raynas.errors import SpaceError
from tests.core.decided import CHAIN, DEPTH, KIND, LR, Decided


class TestDeclaration:
    @pytest.mark.parametrize(
        ("decisions", "message"),
        [
            ([], "nothing to decide"),
            ([DEPTH, DEPTH], "'depth' stands twice"),
            ([Integer("a/b")], "'a/b' stands twice or holds a '/'"),
            ([CHAIN[2], KIND], "'kernel' depends on 'kind', which must come before it"),
        ],
    )
    def test_mistakes_are_named(self, decisions: list[Decision], message: str) -> None:
        with pytest.raises(SpaceError, match=message):
            Decided(*decisions).size  # noqa: B018


class TestCanonical:
    def test_drops_chains_of_inactive_decisions(self) -> None:
        everything: dict[str, Option] = {"depth": 1, "kind": "conv", "kernel": 3, "groups": 2, "width": 1, "extra": "a"}
        assert Decided(*CHAIN).canonical(everything) == Architecture({"depth": 1, "kind": "conv", "kernel": 3})

    def test_keeps_chains_of_active_decisions(self) -> None:
        everything: dict[str, Option] = {"depth": 2, "kind": "conv", "kernel": 5, "groups": 2, "width": 1, "extra": "a"}
        assert Decided(*CHAIN).canonical(everything) == Architecture(everything)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"kernel": None}, "lacks decision 'kernel'"),
            ({"kernel": 4}, r"'kernel' cannot be 4; options: 3, 5"),
            ({"depth": 4}, r"'depth' cannot be 4; options: 1, 2, 3"),
            ({"depth": "1"}, r"'depth' cannot be '1'"),
            ({"colour": "red"}, r"no decision 'colour'; known: depth, kind, kernel"),
        ],
    )
    def test_refuses_by_name(self, change: dict[str, Any], message: str) -> None:
        options: dict[str, Any] = {"depth": 1, "kind": "pool", "kernel": 3} | change
        with pytest.raises(SpaceError, match=message):
            Decided(*CHAIN).canonical({name: option for name, option in options.items() if option is not None})

    def test_equal_options_of_another_type_get_the_same_key(self) -> None:
        space = Decided(DEPTH, Categorical("drop", (0.0, 0.5)), Real("x", low=0.0, high=2.0))
        exact = space.canonical({"depth": 2, "drop": 0.0, "x": 1.0})
        assert space.canonical({"depth": 2.0, "drop": 0, "x": 1}).key == exact.key
        assert (
            space.canonical({"depth": True, "drop": False, "x": 1}).to_json() == '{"depth": 1, "drop": 0.0, "x": 1.0}'
        )


class TestSize:
    def test_is_infinite_with_a_continuous_decision(self) -> None:
        space = Decided(DEPTH, LR)
        assert space.size == math.inf
        with pytest.raises(SpaceError, match="continuous decision and cannot be enumerated"):
            space.enumerate()


class TestMoves:
    def test_trajectory_is_pinned(self) -> None:
        space, rng = Decided(*CHAIN), np.random.default_rng(0)
        first, second = space.sample(rng), space.sample(rng)
        assert first == Architecture({"depth": 3, "kind": "pool", "kernel": 5, "width": 0})
        assert second == Architecture({"depth": 1, "kind": "conv", "kernel": 3})
        assert space.mutate(first, rng) == Architecture({"depth": 1, "kind": "pool", "kernel": 5})
        assert [dict(space.crossover(first, second, rng)) for _ in range(4)] == [
            {"depth": 3, "kind": "pool", "kernel": 5, "width": 0},
            {"depth": 3, "kind": "pool", "kernel": 5, "width": 0},
            {"depth": 1, "kind": "pool", "kernel": 3},
            {"depth": 3, "kind": "conv", "kernel": 5, "groups": 2, "width": 0},
        ]

    def test_mutation_into_a_new_branch_draws_what_it_activates(self) -> None:
        space, rng = Decided(*CHAIN[:4]), np.random.default_rng(0)
        children = [space.mutate(Architecture({"depth": 1, "kind": "none"}), rng) for _ in range(60)]
        assert {child["kernel"] for child in children if "kernel" in child} == {3, 5}

    def test_mutation_is_uniform_over_decisions(self) -> None:
        space, rng = Decided(Integer("a", 0, 9), Categorical("b", ("x", "y"))), np.random.default_rng(0)
        arch = Architecture({"a": 0, "b": "x"})
        assert np.mean([space.mutate(arch, rng)["b"] == "y" for _ in range(1000)]) == pytest.approx(0.5, abs=0.05)

    def test_mutation_leaves_decisions_without_alternative_alone(self) -> None:
        space, rng = Decided(Categorical("only", ("x",)), DEPTH), np.random.default_rng(0)
        for _ in range(20):
            assert space.mutate(Architecture({"only": "x", "depth": 1}), rng)["only"] == "x"
        with pytest.raises(SpaceError, match=r"no decision of .* has another option"):
            Decided(Categorical("only", ("x",))).mutate(Architecture({"only": "x"}), rng)

    def test_crossover_takes_half_from_each(self) -> None:
        names = [f"d{i}" for i in range(1000)]
        space = Decided(*(Categorical(name, (0, 1)) for name in names))
        zeros, ones = (Architecture(dict.fromkeys(names, option)) for option in (0, 1))
        share = np.mean([option for option in space.crossover(zeros, ones, np.random.default_rng(0)).values()])
        assert share == pytest.approx(0.5, abs=0.05)

    def test_neighbours_in_a_new_branch_take_the_first_options(self) -> None:
        space = Decided(*CHAIN[:4])
        neighbours = list(space.neighbours(Architecture({"depth": 1, "kind": "none"})))
        assert Architecture({"depth": 1, "kind": "conv", "kernel": 3}) in neighbours
        assert len(neighbours) == 2 + 2


class TestEncoding:
    def test_is_one_hot_and_zero_where_inactive(self) -> None:
        space = Decided(*CHAIN[:3])
        assert space.n_features == 3 + 3 + 2
        assert space.encode(Architecture({"depth": 2, "kind": "none"})).tolist() == [0, 1, 0, 0, 0, 1, 0, 0]

    def test_tells_a_whole_space_apart(self) -> None:
        space = Decided(*CHAIN)
        assert len({space.encode(arch).tobytes() for arch in space.enumerate()}) == space.size


def test_the_default_is_the_first_of_every_decision_that_is_active() -> None:
    space = Decided(*CHAIN, LR)
    lr = LR.default
    assert space.default == Architecture({"depth": 1, "kind": "conv", "kernel": 3, "lr": lr})
    assert space.default == space.canonical(space.default)
