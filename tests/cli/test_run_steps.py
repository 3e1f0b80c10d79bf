"""A search from flags to report, run again, and its winner trained to the end."""

import json
import shlex
from pathlib import Path

import pytest

from raynas.cli import commands, export_found, retrain_found, run_tune
from raynas.core.archive import Archive


def test_a_search_from_flags_to_report(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ["--space", "mlp", "--num_samples", "3", "--epochs", "1", "--retrain.epochs", "1", "--no_progress"]
    assert run_tune(argv) == commands.OK
    first = capsys.readouterr().out
    (path,) = Path("results").iterdir()
    summary = json.loads((path / "summary.json").read_text())
    assert summary["counts"]["finished"] == 3
    assert summary["comparison"]["n_random_trials"] == 3
    added = "After the 3 trials come as many of random search for comparison: --no_compare_random leaves it out"
    assert added in " ".join(first.split())
    assert summary["best"]["provenance"]["accuracy"]["facts"]["n_examples"] > 100
    assert 0 <= summary["retrained"]["test_accuracy"] <= 1
    assert summary["files"].keys() >= {"architecture", "weights", "final weights", "options", "params plot"}
    for place in summary["files"].values():
        assert Path(place).is_file() and place in first

    assert run_tune(argv) == commands.OK
    assert json.loads((path / "summary.json").read_text())["best"] == summary["best"]

    capsys.readouterr()
    assert retrain_found([str(path / "best" / "architecture.json")]) == commands.OK
    out = capsys.readouterr().out
    assert "test_accuracy" in out and str(path / "best" / "retrained-") in out


def test_a_model_of_the_users_is_searched_and_taken_away(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = [*("--model", "tests.cli.given_net:Net", "--vary", "body.1=width:0.25,0.5", "--baseline", "default")]
    argv += ["--constraints", "macs <= 0.6 * baseline", "--epochs", "1", "--retrain.epochs", "0", "--no_compare_random"]
    assert run_tune([*argv, "--num_samples", "2", "--no_progress"]) == commands.OK
    (path,) = Path("results").iterdir()
    assert run_tune([*argv, "--num_samples", "3", "--no_progress"]) == commands.OK  # the same weights: it continues
    assert len(Archive.load(path / "archive.jsonl").evaluations) == 3
    best = json.loads((path / "best" / "architecture.json").read_text())
    assert best["body.1.width"] in (8, 16)

    capsys.readouterr()
    longer = shlex.split(json.loads((path / "summary.json").read_text())["commands"]["train longer"])
    assert longer[:2] == ["raynas", "retrain"] and "tests.cli.given_net:Net" in longer
    assert retrain_found([*longer[2:-1], "1"]) == commands.OK
    export = [str(path / "best" / "architecture.json"), "--formats", "source", "--no_verify"]
    assert export_found(export) == commands.BAD_INPUT
    assert capsys.readouterr().err.endswith("if it is yours, say so: --model tests.cli.given_net:Net\n")
    assert export_found([*export, "--model", "tests.cli.given_net:Net"]) == commands.OK
    assert f"Linear(64, {best['body.1.width']}" in (path / "best" / "export" / "model.py").read_text()

    assert export_found([*export, "--model", "tests.cli.given_net:Net(width=24)"]) == commands.BAD_INPUT
    assert "its weights changed" in capsys.readouterr().err
