from typing import Any

import numpy as np
import pytest

from raynas.core.architecture import Option
from raynas.core.decision import Categorical, Integer, Real
from raynas.errors import SpaceError
from tests.core.decided import DEPTH, KIND, LR


class TestDecisions:
    @pytest.mark.parametrize("choices", [(), ("a", "a"), (1, True)])
    def test_categorical_refuses_no_or_equal_options(self, choices: tuple[Option, ...]) -> None:
        with pytest.raises(SpaceError, match="'x' needs different options, at least one"):
            Categorical("x", choices)

    def test_options_of_numpy_none_and_tuples(self) -> None:
        widths = Categorical("x", list(2 ** np.arange(3, 6)))
        assert widths.choices == (8, 16, 32) and {type(option) for option in widths.choices} == {int}
        mixed = Categorical("x", (None, (1, 2), (1, (2,)), "none"))
        assert [mixed.encode(option).tolist().index(1) for option in mixed.options] == [0, 1, 2, 3]
        assert len({mixed.label(option) for option in mixed.options}) == 4

    def test_a_list_is_no_option(self) -> None:
        with pytest.raises(SpaceError, match=r"decision 'x' must not be a list; write a tuple, got \[1, 2\]"):
            Categorical("x", ([1, 2], [3]))

    def test_integer_takes_numbers_of_numpy_and_steps(self) -> None:
        decision = Integer("x", np.int64(2), np.int64(9), step=3)
        assert list(decision.options) == [2, 5, 8] and type(decision.low) is int
        with pytest.raises(SpaceError, match="needs step >= 1, got 0"):
            Integer("x", 0, 1, step=0)
        with pytest.raises(SpaceError, match=r"high of decision 'x' must be a whole number, got 1\.5"):
            Integer("x", 0, 1.5)  # type: ignore[arg-type]

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
