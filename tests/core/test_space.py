import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Categorical, Decision, Integer, Real
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.testing import SpaceContract


class Decided(SearchSpace):
    """A space of given decisions whose networks hold one number."""

    input_shape = (2,)

    def __init__(self, *decisions: Decision) -> None:
        self._given = decisions

    @property
    def decisions(self) -> Sequence[Decision]:
        return self._given

    def build(self, arch: Mapping[str, Option]) -> nn.Module:
        self.canonical(arch)
        return nn.Linear(2, 1)


DEPTH = Integer("depth", 1, 3)
KIND = Categorical("kind", ("conv", "pool", "none"))
CHAIN = (
    DEPTH,
    KIND,
    Categorical("kernel", (3, 5), active_if={"kind": ("conv", "pool")}),
    Categorical("groups", (1, 2), active_if={"kernel": (5,), "kind": ("conv",)}),
    Integer("width", 0, 2, active_if={"depth": (2, 3)}),
    Categorical("extra", ("a", "b"), active_if={"width": (1,), "groups": (2,)}),
)
LR = Real("lr", low=1e-4, high=1e-1, log=True)
MOMENTUM = Real("momentum", low=0.0, high=0.9, active_if={"kind": ("conv",)})


class TestConditional(SpaceContract):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return Decided(*CHAIN)


class TestWithNumbers(SpaceContract):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return Decided(KIND, LR, MOMENTUM)


class TestDecisions:
    @pytest.mark.parametrize("choices", [(), ("a", "a"), (1, True)])
    def test_categorical_refuses_no_or_equal_options(self, choices: tuple[Option, ...]) -> None:
        with pytest.raises(SpaceError, match="'x' needs different options, at least one"):
            Categorical("x", choices)

    def test_integer_refuses_an_empty_range(self) -> None:
        with pytest.raises(SpaceError, match="'x' needs low <= high, got 2 and 1"):
            Integer("x", 2, 1)

    @pytest.mark.parametrize(("low", "high", "log"), [(1, 1, False), (2, 1, False), (0, 1, True), (-1, 1, True)])
    def test_real_refuses_an_empty_range_and_logarithms_of_none(self, low: float, high: float, log: bool) -> None:
        with pytest.raises(SpaceError, match=f"'x' needs low < high .* got {low} and {high}"):
            Real("x", low=low, high=high, log=log)

    def test_integer_includes_both_ends(self) -> None:
        rng = np.random.default_rng(0)
        assert {DEPTH.sample(rng) for _ in range(50)} == {1, 2, 3}

    def test_resample_never_returns_the_current_option(self) -> None:
        rng = np.random.default_rng(0)
        for decision in (DEPTH, KIND, LR):
            current = decision.sample(rng)
            for _ in range(50):
                assert decision.resample(current, rng) != current

    @pytest.mark.parametrize("decision", [LR, Real("x", low=-1.0, high=1.0)])
    def test_real_moves_within_its_range_and_off_its_ends(self, decision: Real) -> None:
        rng = np.random.default_rng(0)
        for end in (decision.low, decision.high):
            moved = [decision.resample(end, rng) for _ in range(50)]
            assert all(decision.contains(option) and option != end for option in moved)

    def test_real_is_uniform_on_its_scale(self) -> None:
        rng = np.random.default_rng(0)
        below = [float(LR.sample(rng)) < 10**-2.5 for _ in range(2000)]  # The middle of the logarithmic range.
        assert np.mean(below) == pytest.approx(0.5, abs=0.05)

    def test_real_neighbours_are_a_step_down_and_a_step_up(self) -> None:
        assert list(Real("x", low=0.0, high=10.0).others(5.0)) == pytest.approx([4.0, 6.0])
        assert list(Real("x", low=0.0, high=10.0).others(0.0)) == pytest.approx([1.0])

    def test_real_encoding_is_its_position(self) -> None:
        assert LR.encode(1e-4).tolist() == pytest.approx([0])
        assert LR.encode(10**-2.5).tolist() == pytest.approx([0.5])
        assert Real("x", low=0.0, high=4.0).encode(1).tolist() == [0.25]

    @pytest.mark.parametrize("option", ["0.01", 1.0, 0, float("nan"), None])
    def test_real_contains_only_numbers_in_range(self, option: Any) -> None:
        assert not LR.contains(option)


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
    @pytest.mark.parametrize("n", range(1, len(CHAIN) + 1))
    def test_equals_enumeration(self, n: int) -> None:
        space = Decided(*CHAIN[:n])
        assert space.size == len(set(space.enumerate()))

    def test_equals_what_exhaustive_supersets_canonicalise_to(self) -> None:
        space = Decided(*CHAIN)
        assert space.size == len({space.canonical(options) for options in _supersets(CHAIN)})

    def test_of_many_decisions_is_exact_and_quick(self) -> None:
        layers = [Categorical(f"op{i}", tuple("abcde"), active_if={"depth": range(i + 1, 61)}) for i in range(60)]
        assert Decided(Integer("depth", 1, 60), *layers).size == sum(5**depth for depth in range(1, 61))

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


class TestParamSpace:
    def test_covers_every_option(self) -> None:
        domains = Decided(*CHAIN).param_space()
        for decision in CHAIN:
            assert {domains[decision.name].sample() for _ in range(100)} == set(decision.options)

    def test_numbers_keep_their_scale(self) -> None:
        domains = Decided(KIND, LR, MOMENTUM).param_space()
        assert np.median([domains["lr"].sample() for _ in range(500)]) == pytest.approx(10**-2.5, rel=0.5)
        assert all(0 <= domains["momentum"].sample() <= 0.9 for _ in range(100))


class Breaking(Decided):
    """Cannot be built with three layers of kind conv, nor run with kernel 5."""

    def build(self, arch: Mapping[str, Option]) -> nn.Module:
        options = self.canonical(arch)
        return nn.Linear(3 if options.get("kernel") == 5 else 2, 1)


class TestCheck:
    def test_names_the_options_that_only_broken_members_have(self) -> None:
        with pytest.raises(SpaceError, match=r"Breaking: .* only these have: kernel=5; first: ") as error:
            Breaking(*CHAIN[:3]).check()
        assert error.value.__cause__ is not None

    def test_runs_on_meta(self) -> None:
        devices = []

        class Watched(Decided):
            def build(self, arch: Mapping[str, Option]) -> nn.Module:
                devices.append(torch.empty(0).device.type)
                return super().build(arch)

        Watched(*CHAIN).check(n_samples=0)
        assert set(devices) == {"meta"}


def test_fingerprint_tells_spaces_apart() -> None:
    assert Decided(*CHAIN).fingerprint == Decided(*CHAIN).fingerprint
    others = [CHAIN[:5], [KIND, DEPTH], [DEPTH, KIND], [Integer("depth", 1, 4), KIND], [LR], [Real("lr", low=1e-4)]]
    assert len({Decided(*decisions).fingerprint for decisions in [CHAIN, *others]}) == len(others) + 1


def _supersets(decisions: Sequence[Decision]) -> Iterator[dict[str, Option]]:
    if not decisions:
        yield {}
        return
    for options in _supersets(decisions[:-1]):
        for option in decisions[-1].options:
            yield {**options, decisions[-1].name: option}
