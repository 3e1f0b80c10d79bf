"""Early stopping spares the baseline."""

from typing import Any

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from raynas.core.goal import ACCURACY
from raynas.run.no_controller import NO_CONTROLLER
from raynas.run.spared_baseline import spare_baseline
from raynas.strategies import Asha, EarlyStopping, GridSearch, Hyperband, MedianStopping
from raynas.testing import ToySpace

SPACE = ToySpace(n_layers=2, n_options=3)
OTHER = {"layers.0": 1, "layers.1": 1}


def decisions(stopping: EarlyStopping, arch: Any, baseline: Any, n_epochs: int = 9) -> list[str]:
    """What a scheduler decides on a trial that is worse than eight that ran to their end before it."""
    searcher = GridSearch().searcher(SPACE, costs={}, baseline=baseline)
    scheduler = stopping.scheduler(ACCURACY, n_epochs)
    spare_baseline(scheduler, searcher, n_epochs)
    decided: list[str] = []
    for i in range(9):
        config = {"arch": dict(arch)} if i == 8 else {"arch": {"layers.0": 0, "layers.1": 1}}
        trial = Trial("raynas", trial_id=str(i), config=config, stub=True)
        scheduler.on_trial_add(NO_CONTROLLER, trial)
        for epoch in range(1, n_epochs + 1):
            result = {"training_iteration": epoch, "time_total_s": float(epoch), "accuracy": 0.1 if i == 8 else 0.9}
            decision = scheduler.on_trial_result(NO_CONTROLLER, trial, result)
            if i == 8:
                decided.append(decision)
            elif decision == TrialScheduler.STOP:
                break
        scheduler.on_trial_complete(NO_CONTROLLER, trial, {**result, "done": True})
    return decided


@pytest.mark.parametrize("stopping", [Asha(), Hyperband(), MedianStopping()])
def test_it_runs_to_its_end(stopping: EarlyStopping) -> None:
    assert TrialScheduler.STOP not in decisions(stopping, SPACE.default, SPACE.default)[:-1]


@pytest.mark.parametrize("baseline", [None, SPACE.default])
def test_others_are_stopped(baseline: Any) -> None:
    assert TrialScheduler.STOP in decisions(Asha(), OTHER, baseline)[:-1]


def test_at_the_last_epoch_it_may_be_stopped() -> None:
    assert decisions(Asha(), SPACE.default, SPACE.default)[-1] == TrialScheduler.STOP
