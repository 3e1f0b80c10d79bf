"""Searches in simulated time."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from torch import nn

import raynas
from raynas.errors import InfeasibleError, RaynasError, UnknownNameError
from raynas.metrics import read_goal, untrained_metrics
from raynas.run.simulate import drive, simulate
from raynas.search_spaces import MLP
from raynas.strategies import Asha, MultiObjectiveAsha, RandomSearch, RegularizedEvolution
from raynas.testing import run_trials
from raynas.trials import Tabular
from tests.trials.tables import ARCHS, SPACE, frame, settings, written

SMALL = MLP(input_shape=(1, 4, 4), n_classes=2, max_layers=2, widths=(2, 4, 8), dropouts=(0.0,))


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


def test_a_constraint_without_a_column_is_counted_in_the_space(tmp_path: Path) -> None:
    space = SMALL
    archs = list(space.enumerate())
    file = str(tmp_path / "table.csv")
    pd.DataFrame({"arch": [a.to_json() for a in archs], "accuracy": range(len(archs))}).to_csv(file, index=False)
    count = untrained_metrics(space)["macs"]
    limit = sorted(map(count, archs))[len(archs) // 3]
    (found,) = drive(RandomSearch(), Tabular(table=file), space, 12, constraints=f"macs <= {limit}")
    assert [e.metrics["macs"] for e in found.evaluations] == [count(e.arch) for e in found.evaluations]
    assert {e.arch for e in found.evaluations} <= {a for a in archs if count(a) <= limit} and len(found.evaluations) > 2
    with pytest.raises(InfeasibleError, match=r"meets macs <= 1; the closest has macs ="):
        drive(RandomSearch(), Tabular(table=file), space, 12, constraints="macs <= 1")


def test_halving_by_a_cost_without_a_column_counts_it(tmp_path: Path) -> None:
    space = SMALL
    archs = list(space.enumerate())
    file = str(tmp_path / "table.csv")
    pd.DataFrame({"arch": [a.to_json() for a in archs], "a1": range(len(archs)), "a3": 1.0}).to_csv(file, index=False)
    table = Tabular(table=file, metrics={"accuracy": "a{}"}, fidelities=(1, 3))
    halving = MultiObjectiveAsha(objectives=("params",), reduction_factor=2)
    (found,) = drive(RandomSearch(early_stopping=halving), table, space, 20)
    count = untrained_metrics(space)["params"]
    assert [e.metrics["params"] for e in found.evaluations] == [count(e.arch) for e in found.evaluations]
    assert {e.status for e in found.evaluations} == {"stopped", "finished"}
    with pytest.raises(UnknownNameError, match="unknown metric of MultiObjectiveAsha: 'speed'"):
        drive(RandomSearch(early_stopping=MultiObjectiveAsha(objectives=("max:speed",))), table, space, 20)


def test_a_constraint_may_refer_to_the_baseline(path: str) -> None:
    largest = {"layers.0": 1, "layers.1": 1}
    (found,) = drive(RandomSearch(), settings(path), SPACE, 12, constraints="params <= baseline", baseline=largest)
    assert dict(found.evaluations[0].arch) == largest
    assert {e.arch for e in found.evaluations} == {arch for arch in ARCHS if SPACE.params(arch) <= 3000}
    with pytest.raises(ValueError, match="refers to the baseline, and none is given"):
        drive(RandomSearch(), settings(path), SPACE, 12, constraints="params <= baseline")
    network: Any = nn.Linear(2, 3)
    with pytest.raises(RaynasError, match="must be an architecture, which the table may hold, got a Linear of 9"):
        drive(RandomSearch(), settings(path), SPACE, 12, constraints="params <= baseline", baseline=network)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"strategy": "evolution"}, TypeError, r"got 'evolution'; did you mean RegularizedEvolution\(\)"),
        ({"strategy": RandomSearch}, TypeError, r"with parentheses: RandomSearch\(\)"),
        ({"seeds": 5}, ValueError, r"seeds must be several, such as range\(3\).*got 5"),
        ({"seeds": "12"}, ValueError, "seeds must be several.*got '12'"),
        ({"seeds": [-1]}, ValueError, "seed must be a whole number of at least 0, got -1"),
        ({"n": 0}, ValueError, "n must be a whole number of at least 1, got 0"),
        ({"n_workers": 1.5}, ValueError, "n_workers must be a whole number of at least 1, got 1.5"),
        ({"table": frame()}, ValueError, r"table must be Tabular\(table='FILE.csv'\).*got 'DataFrame'"),
        ({"table": "a.csv"}, ValueError, "table must be Tabular.*got 'str'"),
        ({"objectives": "max:f1"}, UnknownNameError, "unknown metric 'f1'. Known: accuracy, .*epochs"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(
    path: str, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    given: dict[str, Any] = {"strategy": RandomSearch(), "table": settings(path), "space": SPACE, "n": 3}
    with pytest.raises(error, match=message) as caught:
        drive(**given | changes)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("ray_cluster")
def test_a_search_with_ray_gives_the_same_evaluations(tmp_path: Path) -> None:
    """Limits of three kinds: counted in the space, in a column, and known only after a trial."""
    space = SMALL
    archs = list(space.enumerate())
    table = pd.DataFrame(
        {
            "arch": [arch.to_json() for arch in archs],
            "accuracy": [sum(map(ord, arch.to_json())) % 17 / 17 for arch in archs],
            "size": [len(arch.to_json()) + i / 100 for i, arch in enumerate(archs)],
            "f1": [i % 5 / 5 for i in range(len(archs))],
        }
    )
    file = str(tmp_path / "table.csv")
    table.to_csv(file, index=False)
    tabular = Tabular(table=file, metrics={"accuracy": "accuracy", "params": "size", "f1": "f1"})
    counts = sorted(map(untrained_metrics(space)["macs"], archs))
    goal: dict[str, Any] = {
        "objectives": ["accuracy", "min:params"],
        "constraints": [f"macs <= {counts[2 * len(counts) // 3]}", "params <= 1.1 * baseline", "f1 >= 0.2"],
        "baseline": "default",
    }
    strategy = RegularizedEvolution(population_size=3, tournament_size=2)
    (driven,) = drive(strategy, tabular, space, 8, [5], **goal)
    searched = raynas.search(
        space, tabular, strategy, num_samples=8, seed=5, max_concurrent=1, progress=False, tensorboard=False,
        leave_report=False, run_config=tune.RunConfig(storage_path=str(tmp_path), name="search"), **goal,
    )  # fmt: skip
    known = {"accuracy", "params", "macs", "f1", "epochs"}
    both = [
        [(e.arch, e.status, {n: e.metrics[n] for n in known & e.metrics.keys()}) for e in evaluations]
        for evaluations in (driven.evaluations, searched.evaluations)
    ]
    assert both[0] == both[1] and len(both[0]) == 8
    violations = [[driven.goal.violation(e) for e in es] for es in (driven.evaluations, searched.evaluations)]
    assert violations[0] == violations[1] and any(violations[0]) and not all(violations[0])


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
