"""The Pareto front of two metrics."""

from raynas.analysis import compared, front, front_of
from raynas.metrics import read_goal
from tests.analysis.trials import evaluation

TRIALS = [
    evaluation("1", 0.7, params=10.0),
    evaluation("2", 0.9, params=30.0),
    evaluation("3", 0.8, params=20.0, status="stopped"),
    evaluation("4", 0.95, params=90.0),
    evaluation("5", None, status="failed"),
    evaluation("6", 0.85, params=20.0),
]
GOAL = read_goal("accuracy", ["params <= 50", "params <= 0.5 * baseline", "macs <= 7 soft", "accuracy >= 0.1 soft"])


def test_the_front_is_what_no_other_beats_in_both() -> None:
    points = [(1.0, 0.5), (1.0, 0.6), (2.0, 0.6), (2.0, 0.7), (3.0, 0.1)]
    accuracy, cost = read_goal(["accuracy", "params"]).objectives
    assert front_of(points, cost, accuracy) == [(1.0, 0.6), (2.0, 0.7)]
    assert front_of(points, accuracy, accuracy) == [(2.0, 0.7), (3.0, 0.1)]
    assert front_of([], cost, accuracy) == []


def test_the_front_is_of_what_finished_within_the_limits() -> None:
    found = front(TRIALS, GOAL, compared(GOAL)[0])
    assert [p.trial for p in found.points] == ["1", "2", "3", "4", "6"]
    assert [p.trial for p in found.points if p.is_candidate] == ["1", "2", "6"]
    assert found.points[-1].number == 6
    assert found.front == ((10.0, 0.7), (20.0, 0.85), (30.0, 0.9))
    assert [(limit.axis, limit.value, limit.soft) for limit in found.limits] == [("x", 50.0, False), ("y", 0.1, True)]
    assert found.baseline == (None, None)


def test_the_front_grows_with_the_trials() -> None:
    found = front(TRIALS, GOAL, compared(GOAL)[0], generation_size=2)
    assert [(f.n_trials, len(f.points)) for f in found.over_time] == [(2, 2), (6, 3)]  # nothing new from 3 to 4
    assert found.over_time[-1].points == found.front


def test_other_searches_were_paid_for_too() -> None:
    random = [evaluation("1", 0.99, params=25.0)]
    found = front(TRIALS, GOAL.against({"params": 80.0}), compared(GOAL)[0], others={"random": random})
    assert found.front == ((10.0, 0.7), (20.0, 0.85), (25.0, 0.99))
    assert [p.source for p in found.points][-2:] == ["search", "random"]
    assert (30.0, 0.9) in found.over_time[-1].points
    assert found.baseline == (80.0, None)
