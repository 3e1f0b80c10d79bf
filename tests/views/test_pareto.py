"""The Pareto front of two metrics in a plot."""

import numpy as np
from matplotlib.figure import Figure

from raynas.metrics import read_goal
from raynas.views.pareto import draw_front, draw_references


def test_a_step_is_taken_where_the_better_value_is_to_be_had() -> None:
    axes = Figure().add_subplot()
    draw_front(axes, [(1.0, 0.6), (2.0, 0.7)], "min")
    draw_front(axes, [(1.0, 0.6), (2.0, 0.5)], "max")
    assert [line.get_drawstyle() for line in axes.lines] == ["steps-post", "steps-pre"]


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
