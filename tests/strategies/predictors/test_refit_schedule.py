import math

import pytest

from raynas.core.goal import Goal
from raynas.strategies.predictors.refit_schedule import GROWTH, RefitSchedule

GOAL = Goal()


def n_fits(growth: float, n_observed: int) -> int:
    schedule, n = RefitSchedule(growth), 0
    for n_seen in range(2, n_observed + 1):
        if schedule.is_due(n_seen, GOAL):
            schedule.note_fit(n_seen, GOAL)
            n += 1
    return n


@pytest.mark.parametrize(("growth", "expected"), [(math.inf, 1), (1.0, 49), (2.0, 5)])
def test_fits_follow_the_growth_of_observations(growth: float, expected: int) -> None:
    assert n_fits(growth, 50) == expected


def test_a_long_search_is_fitted_seldom() -> None:
    assert n_fits(GROWTH, 50) == 49  # from the second observation on
    assert n_fits(GROWTH, 5000) - n_fits(GROWTH, 50) == pytest.approx(math.log(100) / math.log(GROWTH), rel=0.1)


def test_another_goal_needs_a_fit() -> None:
    schedule = RefitSchedule(math.inf)
    schedule.note_fit(10, GOAL)
    assert not schedule.is_due(1000, GOAL)
    assert schedule.is_due(10, Goal.parse("accuracy", "params <= 5"))
    assert schedule.n_fitted == 10
