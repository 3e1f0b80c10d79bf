"""Searches in simulated time."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raynas.errors import RaynasError
from raynas.metrics import read_goal
from raynas.run.simulate import drive, simulate
from raynas.strategies import Asha, RandomSearch, RegularizedEvolution
from raynas.testing import run_trials
from tests.trials.tables import ARCHS, SPACE, frame, settings, written


@pytest.fixture
def path(tmp_path: Path) -> str:
    return written(tmp_path)


def test_what_is_missing_is_a_failed_evaluation(tmp_path: Path) -> None:
    file = str(tmp_path / "table.csv")
    table = frame()
    table.loc[1, "acc_3"] = math.nan
    table.iloc[1:].to_csv(file, index=False)
    (trajectory,) = drive(RandomSearch(), settings(file), SPACE, 12)
    failed = [e for e in trajectory.evaluations if not e.ok]
    assert {e.arch for e in failed} == set(ARCHS[:2]) and len(trajectory.evaluations) == 12


def test_a_search_is_what_tune_would_do(path: str) -> None:
    (trajectory,) = drive(RegularizedEvolution(population_size=4, tournament_size=2), settings(path), SPACE, 9, [7])
    searcher = RegularizedEvolution(population_size=4, tournament_size=2).searcher(SPACE, seed=7, costs={})
    configs = run_trials(searcher, SPACE.result, 9)
    assert [dict(e.arch) for e in trajectory.evaluations] == [config["arch"] for config in configs]
    accuracies = [SPACE.accuracy(config["arch"]) for config in configs]
    assert list(trajectory.best) == pytest.approx(list(np.maximum.accumulate(accuracies)))
    assert trajectory.best_after(1) == pytest.approx(accuracies[0])
    assert trajectory.best_after(100) == trajectory.best_by(1e9) == pytest.approx(max(accuracies))
    assert trajectory.seconds == tuple(9.0 * i for i in range(1, 10)) == trajectory.trained_seconds
    assert math.isnan(trajectory.best_by(8.9)) and trajectory.best_by(9) == trajectory.best_after(1)


def test_each_seed_is_a_search_of_its_own(path: str) -> None:
    together = drive(RandomSearch(), settings(path), SPACE, 5, [3, 4])
    assert [t.seed for t in together] == [3, 4] and together[0].evaluations != together[1].evaluations
    (alone,) = drive(RandomSearch(), settings(path), SPACE, 5, [4])
    assert alone == together[1]


def test_early_stopping_saves_time(path: str) -> None:
    table = settings(path).load(SPACE)
    (full,) = drive(RandomSearch(), table, SPACE, 12)
    (stopped,) = drive(RandomSearch(early_stopping=Asha(reduction_factor=2)), table, SPACE, 12)
    assert stopped.best_after(12) == full.best_after(12) == 1
    assert stopped.seconds[-1] < 0.7 * full.seconds[-1]
    kinds = {(e.status, e.fidelity) for e in stopped.evaluations}
    assert ("finished", 3) in kinds and ("stopped", 1) in kinds


def test_workers_run_side_by_side(path: str) -> None:
    (alone,) = drive(RandomSearch(), settings(path), SPACE, 12)
    (four,) = drive(RandomSearch(), settings(path), SPACE, 12, n_workers=4)
    assert four.seconds[-1] == alone.seconds[-1] / 4 and four.trained_seconds[-1] == alone.trained_seconds[-1]
    assert {e.arch for e in four.evaluations} == {e.arch for e in alone.evaluations} == set(ARCHS)


def test_constraints_refuse_before_a_trial(path: str) -> None:
    (trajectory,) = drive(RandomSearch(), settings(path), SPACE, 12, constraints="params <= 3000")
    assert 0 < len(trajectory.evaluations) < 12
    assert all(SPACE.params(e.arch) <= 3000 for e in trajectory.evaluations)


def test_what_breaks_a_constraint_is_not_the_best(path: str) -> None:
    (trajectory,) = drive(RandomSearch(), settings(path), SPACE, 12, objectives=["accuracy"], constraints="epochs <= 1")
    assert len(trajectory.evaluations) == 12 and np.isnan(trajectory.best).all()


def test_a_smaller_objective_falls(path: str) -> None:
    (trajectory,) = drive(RandomSearch(), settings(path), SPACE, 12, objectives="params")
    assert trajectory.goal == read_goal("params")
    assert (np.diff(trajectory.best) <= 0).all() and trajectory.best_after(12) == pytest.approx(1000)


class Pausing(FIFOScheduler):
    def on_trial_result(self, *args: Any) -> str:
        return TrialScheduler.PAUSE


def test_pausing_schedulers_are_refused() -> None:
    def answer(config: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [{"accuracy": 0.5, "training_iteration": i, "complete": i == 3} for i in range(1, 4)]

    with pytest.raises(RaynasError, match="Pausing pauses trials"):
        simulate(RandomSearch().searcher(SPACE, costs={}), answer, 12, Pausing())
