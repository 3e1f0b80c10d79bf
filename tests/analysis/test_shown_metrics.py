"""The metrics that views show."""

from raynas.analysis import compared
from raynas.core.goal import Objective
from raynas.core.metric import Metric
from raynas.metrics import read_goal


def test_plots_are_against_all_that_the_goal_names_but_the_first_objective() -> None:
    energy = Metric(name="energy", mode="min", measure=lambda candidate: 1.0)
    goal = read_goal(["accuracy", "max:f1"], ["macs <= 5", "recall >= 0.5", "accuracy >= 0.5"], [energy])
    assert [(o.metric, o.mode) for o in compared(goal)] == [
        ("f1", "max"),
        ("recall", "max"),
        ("energy", "min"),
        ("macs", "min"),
        ("latency_ms", "min"),
        ("params", "min"),
    ]
    assert Objective("accuracy", "max") not in compared(goal)
