import pytest
from ray.tune.experiment import Trial

from raynas.core.goal import Objective
from raynas.run.no_controller import NO_CONTROLLER
from raynas.strategies import (
    Hyperband,
)
from raynas.strategies.schedulers.hyperband import AsyncHyperbandScheduler


def test_hyperband_has_the_brackets_of_the_paper() -> None:
    """Li et al. (JMLR 2018), table 1: R = 81 and eta = 3, n of the brackets s = 4 to 0, from 1 to 81 epochs."""
    assert Hyperband().shares(81) == [81, 34, 15, 8, 5]
    scheduler = Hyperband().scheduler(Objective("loss", "min"), 81)
    assert isinstance(scheduler, AsyncHyperbandScheduler)
    assert (scheduler._metric, scheduler._mode, scheduler._max_t) == ("loss", "min", 81)
    assert [[rung for rung, _ in bracket._rungs] for bracket in scheduler._brackets] == [
        [81, 27, 9, 3, 1],
        [81, 27, 9, 3],
        [81, 27, 9],
        [81, 27],
        [81],
    ]
    assert Hyperband(grace_period=5).shares(3) == [1]


def test_hyperband_can_do_without_its_late_brackets() -> None:
    """What all cost, from counting: a bracket that starts at r takes r + 2/3 r at each rung where two thirds stop."""
    shares, costs = Hyperband().shares(27), [3, 7, 15, 27]
    assert sum(s * c for s, c in zip(shares, costs, strict=True)) / (27 * sum(shares)) == pytest.approx(0.27, abs=0.01)
    assert Hyperband(max_brackets=2).shares(81) == [81, 34] and Hyperband(max_brackets=9).shares(9) == [9, 5, 3]
    scheduler = Hyperband(max_brackets=2).scheduler(Objective("accuracy", "max"), 81)
    assert isinstance(scheduler, AsyncHyperbandScheduler)
    assert [bracket._rungs[-1][0] for bracket in scheduler._brackets] == [1, 3]
    with pytest.raises(ValueError, match="max_brackets >= 1, got 0"):
        Hyperband(max_brackets=0)


def test_hyperband_gives_each_bracket_its_share() -> None:
    scheduler = Hyperband().scheduler(Objective("accuracy", "max"), 9)
    assert isinstance(scheduler, AsyncHyperbandScheduler) and scheduler.shares == [9, 5, 3]
    for i in range(17):
        for _ in range(2):  # Tune adds a trial again that goes on after a restart.
            scheduler.on_trial_add(NO_CONTROLLER, Trial("toy", trial_id=str(i), stub=True))
        expected = [(i + 1) * share / 17 for share in (9, 5, 3)]
        assert all(abs(n - e) < 1 for n, e in zip(scheduler.n_added, expected, strict=True))
    assert scheduler.n_added == [9, 5, 3]
