"""The Pareto front of two metrics in a plot."""

import numpy as np
from matplotlib.figure import Figure

from raynas.core.goal import Objective
from raynas.core.metric import Metric
from raynas.metrics import read_goal
from raynas.views.pareto import compared, draw_front, draw_references, front_of


def test_the_front_is_what_no_other_beats_in_both() -> None:
    points = [(1.0, 0.5), (1.0, 0.6), (2.0, 0.6), (2.0, 0.7), (3.0, 0.1)]
    accuracy, cost = read_goal(["accuracy", "params"]).objectives
    assert front_of(points, cost, accuracy) == [(1.0, 0.6), (2.0, 0.7)]
    assert front_of(points, accuracy, accuracy) == [(2.0, 0.7), (3.0, 0.1)]
    assert front_of([], cost, accuracy) == []


def test_a_step_is_taken_where_the_better_value_is_to_be_had() -> None:
    axes = Figure().add_subplot()
    draw_front(axes, [(1.0, 0.6), (2.0, 0.7)], "min")
    draw_front(axes, [(1.0, 0.6), (2.0, 0.5)], "max")
    assert [line.get_drawstyle() for line in axes.lines] == ["steps-post", "steps-pre"]


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


def test_every_limit_of_the_two_metrics_is_a_line_and_the_baseline_a_star() -> None:
    limits = ["params <= 0.5 * baseline", "accuracy >= 0.75", "macs <= 7", "params <= 9 soft", "accuracy >= baseline"]
    goal = read_goal("accuracy", limits).against({"params": 8.0, "macs": 3.0})
    axes = Figure().add_subplot()
    draw_references(axes, goal, "params", "accuracy")
    drawn = {
        str(line.get_label()): (line.get_linestyle(), *np.asarray(line.get_data()).tolist()) for line in axes.lines
    }
    assert drawn == {
        "params <= 4": ("--", [4, 4], [0, 1]),
        "accuracy >= 0.75": ("--", [0, 1], [0.75, 0.75]),
        "params <= 9 soft": (":", [9, 9], [0, 1]),
        "baseline": ("-.", [8, 8], [0, 1]),
    }
    axes = Figure().add_subplot()
    draw_references(axes, goal.against({"accuracy": 0.5}), "params", "accuracy")
    (star,) = axes.collections
    assert star.get_label() == "baseline" and np.asarray(star.get_offsets()).tolist() == [[8.0, 0.5]]
