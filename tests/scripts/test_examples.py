"""The examples run, at a small size."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.scripts.test_examples_with_others import OTHERS

EXAMPLES = Path(__file__).parents[2] / "scripts" / "examples"

SMALL: dict[str, dict[str, Any]] = {
    "compound_scaling": {"epochs": 1, "phis": (2.0,), "step": 0.2},
    "darts_cell": {"data": "digits", "epochs": 1, "channels": 2, "cells": 3},
    "latency_pareto": {"epochs": 1, "targets": (0.5, 2.0)},
    "once_for_all": {"data": "digits", "epochs": 2, "trials": 2, "budgets": (2e6,)},
}

TOLD = {
    "compound_scaling": "phi 1: ",
    "darts_cell": "darts_cell.svg",
    "latency_pareto": "on the Pareto front",
    "once_for_all": "macs <= 2e+06: ",
}


def test_every_example_is_short_and_tested() -> None:
    files = sorted(EXAMPLES.glob("*.py"))
    assert [file.stem for file in files] == sorted([*SMALL, *OTHERS])
    assert all(len(file.read_text().splitlines()) <= (90 if file.stem in OTHERS else 40) for file in files)


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("name", sorted(SMALL))
def test_runs(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](**SMALL[name], results=str(tmp_path))
    assert TOLD[name] in capsys.readouterr().out
