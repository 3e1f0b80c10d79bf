from typing import Any

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from raynas.core.goal import Objective
from raynas.strategies import MultiObjectiveAsha
from raynas.strategies.schedulers.multi_objective_asha import MultiObjectiveAshaScheduler


def made(max_fidelity: int = 9, **settings: Any) -> MultiObjectiveAshaScheduler:
    scheduler = MultiObjectiveAsha(**settings).scheduler(Objective("accuracy", "max"), max_fidelity)
    assert isinstance(scheduler, MultiObjectiveAshaScheduler)
    return scheduler


def reported(scheduler: MultiObjectiveAshaScheduler, name: str, epoch: int, accuracy: float, params: float) -> bool:
    """Whether the trial goes on."""
    result = {"accuracy": accuracy, "params": params, "training_iteration": epoch}
    controller: Any = None
    return scheduler.on_trial_result(controller, Trial("toy", trial_id=name, stub=True), result) != TrialScheduler.STOP


def test_rungs() -> None:
    assert [rung for rung, _ in made(max_fidelity=27).rungs] == [27, 9, 3, 1]
    assert [rung for rung, _ in made(max_fidelity=20, grace_period=2, reduction_factor=2).rungs] == [16, 8, 4, 2]
    assert [rung for rung, _ in made(max_fidelity=3, grace_period=5).rungs] == [5]
    assert [rung for rung, _ in made(max_fidelity=243).rungs] == [243, 81, 27, 9, 3, 1]


def test_what_is_on_the_front_goes_on_and_what_is_dominated_does_not() -> None:
    """A small network goes on although it is the least accurate, which ASHA by accuracy would stop."""
    scheduler = made(reduction_factor=2)
    assert reported(scheduler, "a", 1, 0.9, 100)
    assert not reported(scheduler, "dominated", 1, 0.8, 120)
    assert reported(scheduler, "small", 1, 0.5, 10)
    assert not reported(scheduler, "dominated too", 1, 0.4, 110)
    assert reported(scheduler, "accurate", 1, 0.95, 200)


def test_one_in_the_reduction_factor_goes_on() -> None:
    """Of points in the order of their fronts, best last: each new one is the best; worst last: only the first."""
    for order, expected in ((range(9), 9), (range(9, 0, -1), 1)):
        scheduler = made()
        n = sum(reported(scheduler, str(i), 1, 0.1 * i, 100 - i) for i in order)
        assert n == expected
    scheduler = made()
    assert [reported(scheduler, name, 1, a, 1) for name, a in zip("abcd", (0.4, 0.3, 0.2, 0.35), strict=True)] == [
        True,
        False,
        False,
        True,  # of four, two go on
    ]


def test_within_a_front_the_less_crowded_goes_on() -> None:
    scheduler = made()
    for name, accuracy, params in (("a", 0.1, 10), ("b", 0.9, 90), ("c", 0.5, 52)):
        reported(scheduler, name, 1, accuracy, params)
    assert not reported(scheduler, "crowded", 1, 0.51, 53)
    assert reported(scheduler, "end", 1, 0.01, 1)


def test_each_trial_is_compared_once_at_each_rung() -> None:
    scheduler = made()
    assert reported(scheduler, "a", 1, 0.9, 10)
    assert reported(scheduler, "a", 2, 0.1, 90)  # between the rungs
    assert not reported(scheduler, "b", 1, 0.5, 20)
    assert reported(scheduler, "a", 3, 0.5, 10)
    assert not reported(scheduler, "c", 3, 0.4, 10)  # came from behind: the highest rung that it has reached counts
    assert {rung: set(recorded) for rung, recorded in scheduler.rungs} == {9: set(), 3: {"a", "c"}, 1: {"a", "b"}}
    assert not reported(scheduler, "a", 9, 0.9, 10)  # the end


def test_nan_is_worst_and_what_is_missing_is_not_compared() -> None:
    scheduler = made(reduction_factor=2)
    reported(scheduler, "a", 1, 0.5, 10)
    assert not reported(scheduler, "b", 1, float("nan"), 10)
    trial, controller = Trial("toy", trial_id="c", stub=True), None
    decision = scheduler.on_trial_result(controller, trial, {"accuracy": 0.1, "training_iteration": 1})
    assert decision == TrialScheduler.CONTINUE and "c" not in scheduler.rungs[-1][1]


def test_refusals() -> None:
    with pytest.raises(ValueError, match="needs a second objective; use Asha"):
        MultiObjectiveAsha(objectives=())
    with pytest.raises(ValueError, match="'speed' needs a direction"):
        MultiObjectiveAsha(objectives=("speed",))
    with pytest.raises(ValueError, match="different objectives"):
        MultiObjectiveAsha(objectives=("accuracy",)).scheduler(Objective("accuracy", "max"), 9)
