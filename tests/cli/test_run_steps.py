"""A search from flags to report, run again, and its winner trained to the end."""

import json
from pathlib import Path

import pytest

from raynas.cli import commands, retrain_found, run_tune


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
