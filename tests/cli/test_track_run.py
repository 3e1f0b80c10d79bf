"""Searches written to trackers from the command line."""

from pathlib import Path
from typing import Any

import pytest

from raynas.cli import commands
from raynas.core.result import SearchResult
from raynas.views.trackers import MLflow
from tests.run.stored import stored


def test_a_search_is_written_to_each_tracker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written: list[tuple[str, Any]] = []

    def write(result: SearchResult, tracker: Any) -> None:
        written.append((result.path.name, tracker))

    monkeypatch.setattr("raynas.run.track.track_result", write)
    monkeypatch.chdir(tmp_path)
    stored(tmp_path / "results" / "mine")
    assert commands.track_found(["results/mine", "mlflow"]) == commands.OK
    assert commands.track_found(["results/mine/archive.jsonl", "mlflow"]) == commands.OK
    assert written == [("mine", MLflow())] * 2
    assert "results/mine is in mlflow" in capsys.readouterr().out


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored(tmp_path / "mine")
    for argv, message in (
        ([], "give a folder and at least one tracker: raynas track RESULTS_DIR mlflow, got none"),
        ([str(tmp_path / "mine")], "give a folder and at least one tracker"),
        ([str(tmp_path / "nowhere"), "mlflow"], "there is no folder"),
        ([str(tmp_path / "mine"), "mlfow"], "unknown tracker 'mlfow'; did you mean 'mlflow'?"),
        ([str(tmp_path / "mine"), "mlflow", "--seed"], "unknown option '--seed'"),
    ):
        assert commands.track_found(argv) == commands.BAD_INPUT
        error = capsys.readouterr().err
        assert error.startswith("error: ") and message in error and error.count("\n") == 1
