import math

import pytest

from raynas.core.architecture import Architecture
from raynas.core.cost_limits import CostLimits
from raynas.core.goal import Goal
from raynas.core.joint_space import JointSpace
from tests.core.scripted import SPACE, A, B, D

GOAL = Goal.parse("accuracy", ["params <= 2000", "accuracy >= 0.9", "macs <= 1 soft"])


def test_the_first_broken_limit_is_the_reason() -> None:
    limits = CostLimits(SPACE, {"params": SPACE.params})
    assert limits.refusal(A, GOAL) == ""
    assert limits.refusal(D, GOAL) == "params = 3000, required params <= 2000"


def test_the_baseline_is_measured_but_not_refused() -> None:
    limits = CostLimits(SPACE, {"params": SPACE.params}, exempt=D)
    assert limits.refusal(D, GOAL) == "" and limits.measured(D) == {"params": 3000.0}


def test_only_hard_constraints_are_measured_and_each_once() -> None:
    measured: list[Architecture] = []

    def params(arch: Architecture) -> float:
        measured.append(arch)
        return 1.0

    limits = CostLimits(SPACE, {"params": params, "macs": params})
    assert [limits.refusal(A, GOAL), limits.refusal(A, GOAL)] == ["", ""]
    assert measured == [A] and limits.measured(A) == {"params": 1.0} and limits.measured(B) == {}


def test_a_cost_is_one_of_the_architecture_alone() -> None:
    space = JointSpace(SPACE, {"lr": 0.1, "epochs": 3})
    limits = CostLimits(space, {"params": SPACE.params})
    limits.note(A, {"params": 5.0})
    assert limits.measured(A) == {"params": 5.0}
    limits.note(A, {})
    assert limits.measured(A) == {"params": 5.0}, "a record without costs replaces nothing"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_cost_that_is_not_finite_refuses(value: float) -> None:
    limits = CostLimits(SPACE, {"params": lambda arch: value})
    assert limits.refusal(A, GOAL) == f"params cannot be measured: ValueError: {value} is not a finite number"


def test_what_was_recorded_is_not_measured_again() -> None:
    limits = CostLimits(SPACE, {"params": SPACE.params})
    limits.note(D, {"params": 10.0})
    assert limits.refusal(D, GOAL) == ""
