"""The Pareto front of two metrics in a plot."""

from matplotlib.figure import Figure

from raynas.metrics import read_goal
from raynas.views.pareto import draw_front, front_of


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
