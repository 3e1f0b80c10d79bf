"""A funnel from flags to report."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from raynas.cli import commands, run_tune, search_run
from raynas.funnels import run
from raynas.trials import ZeroCost
from tests.cli.funnel_lines import STAGES
from tests.funnels.in_process import InProcess


def scored(settings: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """The fewer layers the better, in every stage."""
    value = 1 / config["arch"]["n_layers"]
    if isinstance(settings, ZeroCost):
        return {"synflow": value, "params": 10.0, "training_iteration": 1}
    return {"accuracy": value, "params": 10.0, "train_seconds": 1.0, "training_iteration": settings.epochs}


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> InProcess:
    found = InProcess(scored)
    monkeypatch.setattr(run, "search", found)
    monkeypatch.setattr(search_run, "search", found)
    return found


def test_from_flags_to_report(in_process: InProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """10 networks for 2 epochs and 4 for 6 are 44 epochs: 7 of random search for 6 each, rounded."""
    argv = [*STAGES, "--results", str(tmp_path), "--name", "funnel", "--retrain.epochs", "0"]
    assert run_tune(argv) == commands.OK
    folder = tmp_path / "funnel"
    told = json.loads((folder / "summary.json").read_text())
    assert told["title"] == "cnn on digits, random, a funnel of 3 stages"
    assert told["counts"]["finished"] == 4
    comparison = told["comparison"]
    assert (comparison["n_trials"], comparison["epochs"]) == (14, 44)
    assert (comparison["n_random_trials"], comparison["random_epochs"]) == (7, 42)
    assert any("which were chosen by the earlier score" in note for note in told["notes"])
    assert told["commands"]["search on"] == "the same command with larger numbers in --funnel"
    assert told["commands"]["look closer"].endswith("funnel")
    assert all(Path(file).exists() for file in told["files"].values()), told["files"]
    assert json.loads((folder / "best" / "architecture.json").read_text()) == told["best"]["architecture"]
    assert "epochs: 6" in (folder / "best" / "retrain.yaml").read_text()
    text = capsys.readouterr().out
    assert "Stage 1 of 3, ZeroCost(valid_share=0.5): 30 by RandomSearch, ranked by max:synflow" in text
    assert "Against random search with as many epochs as all stages together" in text
    assert {"1-zero_cost", "2-train", "3-train", "random", "funnel.txt"} <= {path.name for path in folder.iterdir()}


def test_interrupted_and_run_again(in_process: InProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [*STAGES, "--results", str(tmp_path), "--no_progress", "--retrain.epochs", "0", "--no_compare_random"]
    in_process.n_left = 33
    assert run_tune(argv) == commands.INTERRUPTED
    assert "3 of 10 trials of stage 2 of 3 are done" in capsys.readouterr().err
    in_process.n_left = 100
    assert run_tune(argv) == commands.OK
    assert in_process.n_left == 100 - 11
    assert set(in_process.scored.values()) == {1}
