"""Reports from the command line."""

from pathlib import Path

import pytest

from raynas.cli import commands, report_found
from tests.run.stored import stored


def test_a_report_is_written_and_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    stored(tmp_path / "results" / "mine")
    assert report_found(["results/mine"]) == commands.OK
    out = capsys.readouterr().out
    assert "Summary: MLP on digits, RandomSearch" in out and "Best architecture: trial 00002" in out
    assert "  this report      results/mine/summary.txt\n" in out
    assert (tmp_path / "results" / "mine" / "summary.txt").is_file()
    assert report_found(["results/mine/archive.jsonl"]) == commands.OK


def test_of_a_funnel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored(tmp_path / "1-zero_cost", session={"title": "the first stage"})
    stored(tmp_path / "2-train", session={"title": "the second stage"})
    (tmp_path / "10-train").mkdir()  # did not begin
    (tmp_path / "funnel.txt").write_text("the stages\n")
    assert report_found([str(tmp_path)]) == commands.OK
    out = capsys.readouterr().out
    assert "the stages" in out and "Summary: the second stage" in out
    assert (tmp_path / "summary.txt").is_file() and not (tmp_path / "2-train" / "summary.txt").exists()


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored(tmp_path / "results" / "mine")
    (tmp_path / "empty").mkdir()
    for argv, message in (
        ([str(tmp_path / "nowhere")], "there is no folder"),
        ([str(tmp_path / "empty")], "holds no search: there is no archive.jsonl in it\n"),
        ([str(tmp_path / "results")], "in it are the searches mine: name one of them"),
        ([], "give one folder: raynas report RESULTS_DIR, got none"),
        (["a", "b"], "give one folder: raynas report RESULTS_DIR, got a b"),
        (["a", "--seed"], "unknown option '--seed'"),
    ):
        assert report_found(argv) == commands.BAD_INPUT
        error = capsys.readouterr().err
        assert error.startswith("error: ") and message in error and error.count("\n") == 1
