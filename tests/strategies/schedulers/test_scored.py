"""Early stopping by the score that soft constraints make."""

from typing import Any

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from raynas.core.archive import Archive
from raynas.metrics import read_goal
from raynas.run.no_controller import NO_CONTROLLER
from raynas.run.scheduler_replay import replay_scheduler
from raynas.strategies import Asha, EarlyStopping, Hyperband, MedianStopping, RandomSearch
from raynas.strategies.schedulers.scored import rank_by_score, with_score
from raynas.testing import ToySpace

COSTLY = {"accuracy": 0.9, "params": 4000.0}
CHEAP = {"accuracy": 0.8, "params": 1000.0}


def stopped(stopping: EarlyStopping, constraints: str, baseline: float | None = None) -> list[bool]:
    """Whether trials are stopped that are costly and accurate, or cheap and less so, four of each by turns."""
    searcher = RandomSearch(early_stopping=stopping).searcher(ToySpace(), constraints=constraints, costs={})
    if baseline is not None:
        searcher.goal = searcher.goal.against({"params": baseline})
    scheduler = stopping.scheduler(searcher.goal.first, 9)
    rank_by_score(scheduler, searcher)
    ended: dict[int, bool] = {}
    trials = [Trial("raynas", trial_id=str(i), stub=True) for i in range(8)]
    for trial in trials:
        scheduler.on_trial_add(NO_CONTROLLER, trial)
    for epoch in range(1, 10):
        for i in {*range(8)} - ended.keys():
            result = {**(COSTLY, CHEAP)[i % 2], "training_iteration": epoch, "time_total_s": float(epoch)}
            if scheduler.on_trial_result(NO_CONTROLLER, trials[i], result) == TrialScheduler.STOP:
                ended[i] = epoch < 9
                scheduler.on_trial_complete(NO_CONTROLLER, trials[i], result)
    return [ended.get(i, False) for i in range(8)]


@pytest.mark.parametrize("stopping", [Asha(), MedianStopping()])
def test_what_is_stopped_is_what_the_search_ranks_last(stopping: EarlyStopping) -> None:
    plain = stopped(stopping, "params <= 1000")
    assert sum(plain[1::2]) > sum(plain[0::2])
    for soft, baseline in (
        ("params <= 1000 soft (0, -1)", None),
        ("params <= 1000 soft linear (-0.1)", None),
        ("params <= 0.5 * baseline soft (0, -1)", 2000.0),
    ):
        by_score = stopped(stopping, soft, baseline)
        assert sum(by_score[0::2]) > sum(by_score[1::2]), soft
    assert stopped(stopping, "params <= 0.5 * baseline soft (0, -1)") == plain, "nothing is known of the baseline yet"


def test_the_score_has_the_direction_of_the_objective() -> None:
    goal = read_goal("loss", "val/cost <= 2 soft (-1, -1)")
    report: dict[str, Any] = {"loss": 3.0, "val": {"cost": 4.0}, "training_iteration": 1}
    assert with_score(goal, report) == {**report, "loss": 6.0}
    assert with_score(goal, {"training_iteration": 1}) == {"training_iteration": 1}
    assert (
        with_score(read_goal("accuracy", "cost <= 2 soft (-1, -1)"), {"accuracy": 0.5, "cost": 4.0})["accuracy"] == 0.25
    )


def test_a_scheduler_that_replays_sees_scores_too() -> None:
    searcher = RandomSearch().searcher(ToySpace(), constraints="params <= 1000 soft (0, -1)", costs={})
    scheduler, archive = Asha().scheduler(searcher.goal.first, 9), Archive()
    rank_by_score(scheduler, searcher)
    archive.append("proposed", trial="1", config={"arch": {}}, costs={})
    archive.append("result", trial="1", fidelity=1, metrics=COSTLY)
    replay_scheduler(scheduler, list(archive), {})
    assert [*dict(scheduler._brackets[0]._rungs)[1].values()] == [pytest.approx(0.9 / 4)]  # type: ignore[attr-defined]


def test_without_soft_constraints_nothing_is_replaced() -> None:
    searcher = RandomSearch().searcher(ToySpace(), constraints="params <= 1000", costs={})
    scheduler = Hyperband().scheduler(searcher.goal.first, 9)
    rank_by_score(scheduler, searcher)
    assert "on_trial_result" not in vars(scheduler)
