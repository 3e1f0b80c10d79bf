"""The course of a search."""

import pytest

from raynas.analysis import history, hypervolume_history
from raynas.metrics import read_goal
from tests.analysis.trials import evaluation

TRIALS = [
    evaluation("1", None, status="failed", train_seconds=1.0),
    evaluation("2", 0.5, params=2.0, train_seconds=2.0),
    evaluation("3", 0.9, params=9.0, status="stopped", train_seconds=3.0),
    evaluation("4", 0.7, params=4.0),
    evaluation("5", 0.6, params=1.0, train_seconds=4.0),
]


def test_the_best_so_far_is_of_what_finished_within_the_limits() -> None:
    found = history(TRIALS, read_goal("accuracy", "params <= 3"))
    assert found.values == (None, 0.5, 0.9, 0.7, 0.6)
    assert found.best == (None, 0.5, 0.5, 0.5, 0.6)
    assert found.improvements == [1, 4]
    assert found.seconds == (1.0, 3.0, 6.0, 6.0, 10.0)
    assert found.complies == (False, True, False, False, True)


def test_an_objective_that_is_minimised() -> None:
    assert history(TRIALS, read_goal("params")).best == (None, 2.0, 2.0, 2.0, 1.0)


def test_hypervolume_from_the_worst_of_all_by_hand() -> None:
    found = hypervolume_history(TRIALS, read_goal(["accuracy", "params"]))
    assert found is not None
    assert found.reference == (0.5, 4.0)
    assert found.values == pytest.approx((0.0, 0.0, 0.0, 0.0, 0.1 * 3))


def test_hypervolume_from_a_given_reference_never_shrinks() -> None:
    found = hypervolume_history(TRIALS, read_goal(["accuracy", "params"]), reference=(0.4, 10.0))
    assert found is not None
    assert found.values == pytest.approx((0.0, 0.8, 0.8, 0.1 * 8 + 0.2 * 6, 0.2 * 9 + 0.1 * 6))


def test_no_hypervolume_where_nothing_counts() -> None:
    assert hypervolume_history(TRIALS[:1], read_goal(["accuracy", "params"])) is None


def test_one_objective_spans_a_volume_with_the_first_metric_that_it_is_compared_with() -> None:
    found = hypervolume_history(TRIALS, read_goal("accuracy"))
    assert found is not None and [o.metric for o in found.objectives] == ["accuracy", "params"]
