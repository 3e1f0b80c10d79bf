"""Descriptions of inputs, and the examples made from them."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from raynas.core.inputs import (
    Arguments,
    Inputs,
    InputSpec,
    TensorSpec,
    as_spec,
    describe,
    leaves,
    make_example,
    mapped,
    varies,
)
from raynas.errors import SpaceError

IDS = TensorSpec((5,), torch.long, low=2, high=9)


class Pair(NamedTuple):
    ids: Any
    mask: Any


class TestTensorSpec:
    @pytest.mark.parametrize(
        ("spec", "low", "high"),
        [
            (TensorSpec((50,)), 0, 1),
            (TensorSpec((50,), low=-3, high=-2), -3, -2),
            (TensorSpec((50,), torch.float16), 0, 1),
            (TensorSpec((50,), torch.long), 0, 1),
            (TensorSpec((50,), torch.uint8, low=7, high=10), 7, 9),
            (TensorSpec((50,), torch.bool), 0, 1),
        ],
    )
    def test_values_are_in_the_range_and_of_the_type(self, spec: TensorSpec, low: float, high: float) -> None:
        made = make_example(spec, 4)
        assert isinstance(made, Tensor) and made.shape == (4, 50) and made.dtype is spec.dtype
        assert low <= made.min() < made.max() <= high

    def test_whole_numbers_of_real_ones_can_be_looked_up(self) -> None:
        made = make_example(TensorSpec((9,)), 3)
        assert isinstance(made, Tensor) and (made.long() == 0).all(), "for models that convert their input to token ids"

    def test_the_largest_size_unless_the_smallest_is_wanted(self) -> None:
        spec = TensorSpec(((2, 7), 3))
        assert varies(spec) and not varies(IDS) and varies({"a": [IDS, spec]})
        assert [tuple(make_example(spec, 1, smallest=s).shape) for s in (False, True)] == [(1, 7, 3), (1, 2, 3)]  # type: ignore[union-attr]
        assert [spec.fits(shape) for shape in ((2, 3), (7, 3), (8, 3), (7, 4), (7,), (7, 3, 1))] == [
            *(True, True),
            *(False, False, False, False),
        ]

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"shape": (-1,)}, "a dimension must be a size or a pair"),
            ({"shape": ((5, 2),)}, "a dimension must be a size or a pair"),
            ({"shape": (2.5,)}, "a dimension must be a size or a pair"),
            ({"shape": (2,), "dtype": "int64"}, "dtype must be one of torch's"),
            ({"shape": (2,), "dtype": torch.complex64}, "dtype must be one of torch's"),
            ({"shape": (2,), "low": 3, "high": 3}, "high must be above low, got low=3 and high=3"),
        ],
    )
    def test_what_is_wrong_is_said(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(SpaceError, match=message):
            TensorSpec(**wrong)


class TestMakeExample:
    def test_of_any_structure(self) -> None:
        spec = {"ids": IDS, "more": [IDS, (TensorSpec((2,)), "eval")], "pair": Pair(IDS, None)}
        made = make_example(spec, 3)
        assert isinstance(made, dict) and made["more"][1][1] == "eval" and made["pair"].mask is None
        assert [tuple(t.shape) for t in Arguments.of(made).tensors] == [(3, 5), (3, 5), (3, 2), (3, 5)]
        assert not torch.equal(made["ids"], made["more"][0]), "two tensors are not the same"

    def test_follows_the_seed_and_leaves_torchs_alone(self) -> None:
        before = torch.get_rng_state()
        first, again, other = (make_example(IDS, 4, seed=seed) for seed in (1, 1, 2))
        assert torch.equal(first, again) and not torch.equal(first, other)  # type: ignore[arg-type]
        assert torch.equal(torch.get_rng_state(), before)

    def test_given_examples_are_repeated_and_cut(self) -> None:
        given = (torch.tensor([[1], [2]]), torch.tensor(7))
        five, one = make_example(given, 5), make_example(given, 1)
        assert isinstance(five, tuple) and five[0].flatten().tolist() == [1, 2, 1, 2, 1] and five[1] == 7
        assert isinstance(one, tuple) and one[0].tolist() == [[1]]

    @pytest.mark.parametrize("spec", [IDS, (torch.ones(2, 5),), lambda n: {"x": torch.ones(n, 5)}])
    def test_on_meta_nothing_has_values(self, spec: InputSpec) -> None:
        with torch.device("meta"):
            on_cpu = [] if callable(spec) else Arguments.of(make_example(spec, 3)).tensors
        on_meta = Arguments.of(make_example(spec, 3, "meta")).tensors
        assert [tensor.device.type for tensor in on_cpu + on_meta] == ["cpu"] * len(on_cpu) + ["meta"]
        assert on_meta[0].shape == (3, 5)


class TestArguments:
    @pytest.mark.parametrize(
        ("inputs", "expected"),
        [
            (1, ((1,), {})),
            ((1, 2), ((1, 2), {})),
            ([1, 2], ((1, 2), {})),
            ({"a": 1}, ((), {"a": 1})),
            (Arguments((1,), {"b": 2}), ((1,), {"b": 2})),
            (Arguments(({"a": 1},)), (({"a": 1},), {})),
        ],
    )
    def test_a_call(self, inputs: Any, expected: object) -> None:
        assert Arguments.of(inputs).call(lambda *args, **kwargs: (args, kwargs)) == expected

    def test_parts_and_types(self) -> None:
        inputs = Arguments((torch.arange(6).view(3, 2),), {"x": torch.ones(3), "scale": torch.ones(2), "mode": "a"})
        assert inputs.n_examples == 3 and Arguments(("a",)).n_examples == 0
        part = inputs.part(slice(1, 3))
        assert [len(tensor) for tensor in part.tensors] == [2, 2, 2] and part.kwargs["mode"] == "a"
        doubled = inputs.map_real(lambda tensor: tensor * 2)
        assert torch.equal(doubled.args[0], inputs.args[0]) and (doubled.kwargs["x"] == 2).all()


def test_leaves_are_in_order() -> None:
    assert list(leaves({"b": [3, (4,)], "a": Arguments((1,), {"x": 2})})) == [1, 2, 3, 4]
    assert mapped(Pair(1, [2]), lambda leaf: leaf + 1) == Pair(2, [3])


def test_a_sequence_of_numbers_is_a_shape() -> None:
    assert as_spec([3, 4]) == TensorSpec((3, 4)) and as_spec(()) == TensorSpec(())
    assert as_spec((IDS, IDS)) == (IDS, IDS)


def test_descriptions_are_one_line() -> None:
    assert describe(TensorSpec((3, (1, 9)))) == "float32 (3, 1..9)" and describe(IDS) == "int64 (5,)"
    assert describe((IDS, torch.ones(2, 4))) == "int64 (5,), float32 (4,)"
    assert describe(Arguments(({"a": IDS},), {"mode": "x"})) == "{a: int64 (5,)}, mode=x"
    assert describe(two_masks) == "tests.core.test_inputs:two_masks"


def two_masks(n: int) -> Inputs:
    return torch.ones(n, 2), torch.ones(n, 3)
