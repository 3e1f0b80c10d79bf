"""Trials that a table answers."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from raynas.core.architecture import Architecture
from raynas.errors import UnknownNameError
from raynas.metrics import METRICS
from raynas.trials import TRIALS, Tabular
from tests.trials.tables import ARCHS, SPACE, frame, settings, written


@pytest.fixture
def path(tmp_path: Path) -> str:
    return written(tmp_path)


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


def test_what_is_missing_fails_as_a_trial(tmp_path: Path) -> None:
    file = str(tmp_path / "table.csv")
    table = frame()
    table.loc[1, "acc_3"] = math.nan
    table.iloc[1:].to_csv(file, index=False)
    for arch, expected in ((ARCHS[0], "has no row for"), (ARCHS[1], "holds no accuracy of")):
        (result,) = one(file, arch)
        assert result["failed"] == 1 and expected in result["error"] and "\n" not in result["error"]


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
        ({"read_arch": 3}, "read_arch must be a function or 'module:function', got 3"),
        ({"table": frame()}, r"path of a file \(pandas.DataFrame.to_csv writes one\), got 'DataFrame'"),
        ({"table": None}, "path of a file .*, got 'NoneType'"),
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
    of_shapes = {name for name, metric in METRICS.items() if metric.measure and metric.needs == "shapes"}
    assert costs.keys() == of_shapes >= {"macs", "params"}
    assert costs["params"](ARCHS[5]) == pytest.approx(SPACE.params(ARCHS[5]))


def test_it_is_in_the_table_of_trials() -> None:
    assert TRIALS["tabular"] is Tabular


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
