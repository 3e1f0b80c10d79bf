"""Tables of trained networks: how they are read, what a trial tells, and searches in simulated time."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raynas.core.architecture import Architecture
from raynas.errors import DataError, RaynasError, UnknownNameError
from raynas.metrics import read_goal
from raynas.search_spaces.nasbench201 import NASBench201, to_arch_str
from raynas.strategies import Asha, RandomSearch, RegularizedEvolution
from raynas.testing import ToySpace, run_trials
from raynas.trials import TRIALS, Tabular
from raynas.trials.simulation import simulate
from raynas.trials.tabular import drive

SPACE = ToySpace(n_layers=2, n_options=3)  # of 12 members
ARCHS = list(SPACE.enumerate())


def frame(**changes: Any) -> pd.DataFrame:
    """Percent at 1, 3 and 9 epochs: the more training the better, by the accuracy of the space."""
    rows = [
        {
            "arch": arch.to_json(),
            **{f"acc_{epochs}": 100 * SPACE.accuracy(arch) * epochs / 9 for epochs in (1, 3, 9)},
            **{f"hours_{epochs}": 0.5 * epochs for epochs in (1, 3, 9)},
            "k_params": SPACE.params(arch) / 1000,
            "seconds": 4.0,
        }
        for arch in ARCHS
    ]
    table: pd.DataFrame = pd.DataFrame(rows).assign(**changes)
    return table


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = str(tmp_path / "table.csv.gz")
    frame().to_csv(file, index=False)
    return file


def settings(path: str, **changes: Any) -> Tabular:
    given: dict[str, Any] = {
        "metrics": {"accuracy": "acc_{}", "params": "k_params"},
        "fidelities": (1, 3, 9),
        "scale": {"accuracy": 0.01, "params": 1000},
    }
    return Tabular(table=path, **given | changes)


def one(path: str, arch: Mapping[str, Any] = ARCHS[5], **changes: Any) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    settings(path, **changes).evaluate(SPACE, arch, on_result=seen.append)
    return seen


def test_one_report_per_fidelity(path: str) -> None:
    results = one(path)
    best = SPACE.accuracy(ARCHS[5])
    assert [r["accuracy"] for r in results] == pytest.approx([best / 9, best / 3, best])
    assert [(r["training_iteration"], r["epochs"], r["train_seconds"]) for r in results] == [
        (1, 1, 1),
        (2, 3, 3),
        (3, 9, 9),
    ]
    assert [(r["complete"], r["done"]) for r in results] == [(0, False), (0, False), (1, True)]
    assert results[0]["params"] == pytest.approx(SPACE.params(ARCHS[5]))
    assert settings(path).max_fidelity == 3


def test_simulated_time(path: str) -> None:
    assert [r["train_seconds"] for r in one(path, seconds=2.5)] == [2.5, 7.5, 22.5]
    assert [r["train_seconds"] for r in one(path, seconds="hours_{}")] == [0.5, 1.5, 4.5]
    assert [r["train_seconds"] for r in one(path, seconds="seconds")] == [4, 12, 36]  # of one epoch
    assert [r["train_seconds"] for r in one(path, seconds="seconds", fidelities=(9,))] == [4]  # of all nine


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
@pytest.mark.parametrize("per_decision", [True, False])
def test_every_form_of_table_says_the_same(tmp_path: Path, suffix: str, per_decision: bool) -> None:
    table = frame()
    if per_decision:  # an inactive decision is an empty field, which makes floats of the column's integers
        columns = pd.DataFrame([dict(arch) for arch in ARCHS])
        table = pd.concat([columns.astype({"layers.1": float}), table.drop(columns="arch")], axis=1)
    file = str(tmp_path / f"table{suffix}")
    table.to_parquet(file) if suffix == ".parquet" else table.to_csv(file, index=False)
    loaded = settings(file, arch=None if per_decision else "arch").load(SPACE)
    assert len(loaded) == 12
    for arch in ARCHS:
        assert loaded.value("accuracy", arch) == pytest.approx(SPACE.accuracy(arch))


def test_a_converter_reads_a_notation(tmp_path: Path) -> None:
    space = NASBench201()
    archs = [space.sample(np.random.default_rng(i)) for i in range(5)]
    file = str(tmp_path / "table.csv")
    pd.DataFrame({"cell": map(to_arch_str, archs), "accuracy": range(5)}).to_csv(file, index=False)
    reads = "raynas.search_spaces.nasbench201:from_arch_str"
    loaded = Tabular(table=file, arch="cell", read_arch=reads).load(space)
    assert [loaded.value("accuracy", arch) for arch in archs] == [0, 1, 2, 3, 4]


def test_what_is_missing_fails_as_a_trial(tmp_path: Path) -> None:
    file = str(tmp_path / "table.csv")
    table = frame()
    table.loc[1, "acc_3"] = math.nan
    table.iloc[1:].to_csv(file, index=False)
    for arch, expected in ((ARCHS[0], "has no row for"), (ARCHS[1], "holds no accuracy of")):
        (result,) = one(file, arch)
        assert result["failed"] == 1 and expected in result["error"] and "\n" not in result["error"]
    (trajectory,) = drive(RandomSearch(), settings(file), SPACE, 12)
    failed = [e for e in trajectory.evaluations if not e.ok]
    assert {e.arch for e in failed} == set(ARCHS[:2]) and len(trajectory.evaluations) == 12


@pytest.mark.parametrize(
    ("table", "changes", "message"),
    [
        (frame(), {"arch": "cell"}, "table.csv has no column 'cell'; it has arch, acc_1"),
        (frame(), {"arch": None}, "no column 'layers.0'"),
        (frame(), {"fidelities": (1, 2)}, "no column 'acc_2'"),
        (frame(arch="[]"), {}, "table.csv, row 1: an architecture must be a JSON object"),
        (frame(arch='{"layers.0": 7}'), {}, "row 1: ToySpace: 'layers.0' cannot be 7"),
        (frame(arch=ARCHS[3].to_json()), {}, "rows 1 and 2 are the same architecture"),
        (frame(acc_3="good"), {}, "column 'acc_3' must hold numbers"),
    ],
)
def test_a_malformed_table_is_refused(
    tmp_path: Path, table: pd.DataFrame, changes: dict[str, Any], message: str
) -> None:
    file = str(tmp_path / "table.csv")
    table.to_csv(file, index=False)
    with pytest.raises(DataError, match=message):
        settings(file, **changes).runner(SPACE)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.csv does not exist"):
        settings("nowhere.csv").load(SPACE)
    (tmp_path / "bad.parquet").write_text("no table")
    with pytest.raises(DataError, match=r"bad.parquet cannot be read"):
        settings(str(tmp_path / "bad.parquet")).load(SPACE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"table": "a.txt"}, r"table must end in .csv, .csv.gz, .parquet, .parquet.gz, got 'a.txt'"),
        ({"metrics": {}}, "metrics must name a column"),
        ({"fidelities": ()}, "rising order"),
        ({"fidelities": (9, 3)}, r"rising order, got \(9, 3\)"),
        ({"fidelities": (0, 3)}, "at least 1"),
        ({"scale": {"loss": 1.0}}, "scale is for accuracy, params, got 'loss'"),
        ({"scale": {"accuracy": 0}}, "greater than 0, got 0"),
        ({"seconds": -1.0}, "seconds must be greater than 0"),
        ({"arch": None, "read_arch": "a:b"}, "read_arch needs the column"),
        ({"read_arch": "b"}, "named as package.module:function"),
    ],
)
def test_settings_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(**{"path": "a.csv", **({"path": changes.pop("table")} if "table" in changes else {}), **changes})


def test_hyperparameters_are_refused(path: str) -> None:
    with pytest.raises(UnknownNameError, match="hyperparameter of a table 'lr'"):
        settings(path).check_hyperparameters(["lr"])


def test_costs_are_the_table_s(path: str) -> None:
    costs = settings(path).costs(SPACE)
    assert sorted(costs) == ["macs", "params"]
    assert costs["params"](ARCHS[5]) == pytest.approx(SPACE.params(ARCHS[5]))


def test_it_is_in_the_table_of_trials() -> None:
    assert TRIALS["tabular"] is Tabular


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


def test_a_shuffled_table_holds_the_same_numbers(path: str) -> None:
    table = settings(path).load(SPACE)
    shuffled = table.shuffled("accuracy", seed=1)
    before, after = ([t.value("accuracy", arch) for arch in ARCHS] for t in (table, shuffled))
    assert before != after and sorted(before) == sorted(after)
    assert shuffled.value("params", ARCHS[5]) == table.value("params", ARCHS[5])
    assert shuffled.reports(ARCHS[5])[0]["accuracy"] * 9 == pytest.approx(after[5])


def test_a_trial_goes_on_from_a_checkpoint(path: str, tmp_path: Path) -> None:
    runner = settings(path).runner(SPACE)
    runner.begin({"arch": dict(ARCHS[5])})
    runner.step()
    runner.save(tmp_path / "kept")
    fresh = settings(path).runner(SPACE)
    fresh.begin({"arch": dict(ARCHS[5])})
    fresh.load(tmp_path / "kept")
    result = fresh.step()
    assert (result["training_iteration"], result["epochs"]) == (2, 3)
    assert json.loads(Architecture(result and dict(ARCHS[5])).to_json()) == dict(ARCHS[5])
