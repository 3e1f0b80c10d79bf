"""Stop criteria of a run config, asked as Tune asks them, without Tune."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from ray import cloudpickle
from ray.tune import Stopper
from ray.tune.stopper import (
    CombinedStopper,
    ExperimentPlateauStopper,
    MaximumIterationStopper,
    NoopStopper,
    TimeoutStopper,
    TrialPlateauStopper,
)

from raynas.errors import SettingError
from raynas.run.stop_criteria import StopCriteria


class OneIsGoodEnough(Stopper):
    """Ends the search with the first trial above a half, as in Ray's guide."""

    def __init__(self) -> None:
        self.seen = False

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        self.seen = self.seen or result["accuracy"] > 0.5
        return self.seen

    def stop_all(self) -> bool:
        return self.seen


def report(epoch: int, **metrics: Any) -> dict[str, Any]:
    """Return what a trial of raynas reports after an epoch, a tenth of accuracy each."""
    progress = {"training_iteration": epoch, "complete": 0, "failed": 0, "done": False}
    return {"accuracy": epoch / 10, **progress, **metrics}


@pytest.mark.parametrize(
    ("stop", "epoch"),
    [
        ({"training_iteration": 4}, 4),
        ({"accuracy": np.float32(0.25)}, 3),
        ({"accuracy": 0.9, "val/accuracy": 0.2}, 2),
        ({"val": {"accuracy": 0.5}}, 5),
        (lambda trial, result: result["accuracy"] > 0.55, 6),
        (MaximumIterationStopper(7), 7),
        (TrialPlateauStopper("flat", num_results=2, grace_period=2), 2),
        ([MaximumIterationStopper(5), MaximumIterationStopper(3)], 3),
        (CombinedStopper(MaximumIterationStopper(5), OneIsGoodEnough()), 5),
        (OneIsGoodEnough(), 6),
        (ExperimentPlateauStopper("flat", std=0.1, top=4), 4),
    ],
)
def test_a_trial_that_met_a_criterion_is_complete(stop: Any, epoch: int) -> None:
    criteria = StopCriteria(stop)
    for now in range(1, 10):
        result = report(now, flat=0.0, val={"accuracy": now / 10})
        is_met = criteria("00001", result)
        assert (is_met, result["complete"]) == (now == epoch, int(now == epoch))
        if is_met:
            break
    assert now == epoch and list(criteria.met) == ["00001"] and criteria.met["00001"]["val/accuracy"] == now / 10
    assert criteria.stop_all() is criteria.ended_search is isinstance(stop, OneIsGoodEnough | ExperimentPlateauStopper)


@pytest.mark.parametrize("stop", [None, {}, [], {"accuracy": 2.0}, lambda trial, result: False, NoopStopper()])
def test_a_trial_that_a_scheduler_stops_is_not(stop: Any) -> None:
    criteria, result = StopCriteria(stop), report(3)
    assert not criteria("00001", result) and result["complete"] == 0 and not criteria.met
    assert not criteria.stop_all()


def test_a_class_of_the_users_is_complete_when_it_says_that_it_is_done() -> None:
    criteria = StopCriteria({"accuracy": 2.0})
    going, done = {"accuracy": 0.1, "done": False}, {"accuracy": 0.2, "done": True}
    assert not criteria("1", going) and not criteria("1", done)
    assert (going["complete"], done["complete"]) == (0, 1)


def test_a_failed_trial_meets_nothing() -> None:
    criteria = StopCriteria(lambda trial, result: True)
    result = report(2, failed=1, done=True, accuracy=float("nan"))
    assert not criteria("00001", result) and result["complete"] == 0 and not criteria.met
    assert criteria("00002", report(2))


def test_a_criterion_that_raises_ends_the_search_in_one_line() -> None:
    criteria = StopCriteria(ExperimentPlateauStopper("acuracy"))
    assert not criteria("00001", report(1)) and criteria.stop_all()
    assert str(criteria.failure) == "stop of the run config raised KeyError: 'acuracy'; the results hold accuracy"


def test_a_limit_on_what_is_not_reported_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    criteria = StopCriteria({"acuracy": 0.5, "training_iteration": 20})
    with caplog.at_level(logging.WARNING):
        for trial in ("1", "2"):
            criteria(trial, report(1))
            criteria(trial, report(2, done=True))
    (record,) = caplog.records
    assert record.getMessage() == (
        "stop names 'acuracy', which the first trial did not report; did you mean 'accuracy'? "
        "What it reported is accuracy."
    )


@pytest.mark.parametrize("stop", ["accuracy", 3, {"accuracy": "high"}, {"accuracy": None}, [3], OneIsGoodEnough])
def test_what_is_no_criterion_is_refused(stop: Any) -> None:
    with pytest.raises(SettingError, match="stop of the run config must be a dict of metrics and numbers, a function"):
        StopCriteria(stop)


def test_tune_may_pickle_any_criterion() -> None:
    stop = TimeoutStopper(3)
    stop.lock = open(__file__)  # type: ignore[attr-defined]  # noqa: SIM115
    assert isinstance(cloudpickle.loads(cloudpickle.dumps(StopCriteria(stop))), NoopStopper)
    stop.lock.close()  # type: ignore[attr-defined]


def test_a_search_may_end_for_another_reason() -> None:
    reasons: list[str] = []
    criteria = StopCriteria(end_now=lambda: bool(reasons))
    assert not criteria.stop_all()
    reasons.append("a trial failed")
    assert criteria.stop_all() and not criteria.ended_search


def test_criteria_remember_earlier_sessions() -> None:
    criteria = StopCriteria(MaximumIterationStopper(5))
    for epoch in (1, 2, 3):
        criteria.replay("00001", {"accuracy": 0.1, "training_iteration": epoch})
    assert [criteria("00001", report(epoch)) for epoch in (4, 5)] == [False, True]
    assert not criteria("00002", report(1))


def test_what_a_criterion_cannot_read_of_earlier_sessions_is_no_error() -> None:
    criteria = StopCriteria(lambda trial, result: result["time_total_s"] > 60)
    criteria.replay("00001", {"accuracy": 0.1})
    assert criteria.failure is None and not criteria.met and not criteria.stop_all()
