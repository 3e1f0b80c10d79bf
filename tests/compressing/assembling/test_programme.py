"""The integer programme against all combinations."""

import ctypes
import itertools
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.optimize import milp

from raynas.compressing.assembling.programme import Programme
from raynas.core.constraint import Constraint
from raynas.errors import InfeasibleError, SettingError, UnknownNameError


def programme(seed: int, n_blocks: int = 5, n_options: int = 4) -> Programme:
    rng = np.random.default_rng(seed)

    def blocks(draw: np.ndarray) -> list[list[float]]:
        return [[0.0, *map(float, row)] for row in draw]

    shape = n_blocks, n_options - 1
    amounts = {
        "divergence": blocks(rng.normal(0.5, 0.5, shape)),
        "accuracy": blocks(-rng.random(shape)),
        "params": blocks(-rng.integers(1, 100, shape)),
        "macs": blocks(-rng.integers(1, 1000, shape)),
    }
    return Programme(amounts, {"divergence": 0.0, "accuracy": 0.9, "params": 700.0, "macs": 7000.0})


def limits(*texts: str) -> list[Constraint]:
    return [Constraint.parse(text) for text in texts]


def best_of_all(given: Programme, held: Sequence[Constraint], objective: str, sign: int) -> list[tuple[int, ...]]:
    sizes = [range(len(block)) for block in given.amounts[objective]]
    fine = [choices for choices in itertools.product(*sizes) if given.complies(choices, held)]
    return sorted(fine, key=lambda choices: sign * given.total(objective, choices))


@pytest.mark.parametrize("seed", range(3))
def test_the_best_come_first_and_in_order(seed: int) -> None:
    given, held = programme(seed), limits("params <= 500", "macs < 5500", "accuracy >= -1")
    expected = best_of_all(given, held, "divergence", 1)[:8]
    assert list(itertools.islice(given.solutions(held, "divergence"), 8)) == expected


def test_an_objective_can_be_a_cost_or_a_score_to_maximise() -> None:
    given, held = programme(3), limits("divergence <= 0.4")
    assert next(given.solutions(held, "macs")) == best_of_all(given, held, "macs", 1)[0]
    assert next(given.solutions(held, "accuracy", "max")) == best_of_all(given, held, "accuracy", -1)[0]


def test_a_strict_limit_is_not_reached() -> None:
    given = Programme({"loss": [[0.0, 1.0, 2.0]], "macs": [[0.0, -10.0, -20.0]]}, {"loss": 0.0, "macs": 100.0})
    assert next(given.solutions(limits("macs <= 90"), "loss")) == (1,)
    assert next(given.solutions(limits("macs < 90"), "loss")) == (2,)
    assert next(given.solutions(limits("macs > 90"), "loss")) == (0,)


def test_all_solutions_end_when_there_are_no_more() -> None:
    given = programme(0, n_blocks=2, n_options=3)
    assert len(list(given.solutions([], "divergence"))) == 9


def test_an_impossible_limit_is_named_with_the_nearest_value() -> None:
    given = programme(1)
    least = min(given.total("params", c) for c in itertools.product(range(4), repeat=5))
    with pytest.raises(InfeasibleError, match=f"'params <= 10' cannot be met: the smallest params .* is {least:g}"):
        next(given.solutions(limits("macs <= 1e6", "params <= 10"), "divergence"))


def test_limits_that_exclude_each_other_are_named_with_the_nearest_value() -> None:
    amounts = {"loss": [[0.0, 1.0]] * 2, "params": [[0.0, -10.0]] * 2, "accuracy": [[0.0, -0.1]] * 2}
    given = Programme(amounts, {"loss": 0.0, "params": 100.0, "accuracy": 0.9})
    expected = "'params <= 80' cannot be met together with 'accuracy >= 0.8': the smallest params within them is 90"
    with pytest.raises(InfeasibleError, match=expected):
        next(given.solutions(limits("params <= 80", "accuracy >= 0.8"), "loss"))


def test_soft_limits_and_unknown_names_are_refused() -> None:
    with pytest.raises(SettingError, match="limits of an assembly must be hard, got 'params <= 10 soft'"):
        next(programme(0).solutions(limits("params <= 10 soft"), "divergence"))
    with pytest.raises(UnknownNameError, match="unknown score or cost of blocks 'latency_ms'"):
        next(programme(0).solutions(limits("latency_ms <= 10"), "divergence"))
    with pytest.raises(UnknownNameError, match="'divergance'; did you mean 'divergence'"):
        next(programme(0).solutions([], "divergance"))


@pytest.mark.skipif(sys.platform == "win32", reason="the C library has another name there")
def test_notes_of_the_solver_are_no_output(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def noisy(*args: Any, **options: Any) -> Any:
        ctypes.CDLL(None).puts(b"a note of the solver")
        return milp(*args, **options)

    monkeypatch.setattr("raynas.compressing.assembling.programme.milp", noisy)
    print("before")
    assert next(programme(0).solutions([], "params"))
    print("after")
    assert capfd.readouterr().out == "before\nafter\n"
