"""The bench of tables of latencies."""

import re
from pathlib import Path

import pytest

from scripts.bench import latency_tables
from tests.metrics.latency_table.nets import Watch, small_space


def test_it_compares_back_ends_on_the_same_networks_and_continues(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = Watch().replace(monkeypatch)
    monkeypatch.setattr(latency_tables, "SEARCH_SPACES", {"small": small_space})
    argv = ["--space", "small", "--backends", "eager", "onnxruntime", "--folder", str(tmp_path)]
    argv += ["--corrected", "5", "--left_out", "12", "--models", "linear"]
    latency_tables.main(argv)
    out = capsys.readouterr().out
    assert re.search(r"\| eager \| 5 \| 0 \| \d+ \| 0 of 17 \| .* \| 100% within 10%, .*n = 12\) \|", out)
    assert "| eager, onnxruntime | 12 | 1.000 | 0% | 0% |" in out  # both are made up in the same way
    assert re.search(r"\| onnxruntime \| linear \| .*validation, n = 12\) \| .*correction, n = 5\) \|", out)
    n_measured = len(watch.modules)
    assert n_measured == 2 * (5 + 5 + 12)
    latency_tables.main(argv)
    assert len(watch.modules) == n_measured
    assert capsys.readouterr().out.split("## small")[1] == out.split("## small")[1]


def test_without_networks_left_out_nothing_is_compared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Watch().replace(monkeypatch)
    monkeypatch.setattr(latency_tables, "SEARCH_SPACES", {"small": small_space})
    argv = ["--space", "small", "--backends", "eager", "onnxruntime", "--folder", str(tmp_path), "--left_out", "0"]
    latency_tables.main([*argv, "--corrected", "5"])
    out = capsys.readouterr().out
    assert re.search(r"\| eager \| 5 \| 0 \| \d+ \| 0 of 5 \| - \| - \|", out)
    assert "Spearman" not in out and "cross-validated" not in out


def test_the_seconds_of_all_runs_are_added_until_the_table_is_finished(tmp_path: Path) -> None:
    path, now = tmp_path / "table.json", 0.0

    def started(n_corrected: int = 5) -> latency_tables.Stopwatch:
        return latency_tables.Stopwatch(path, n_corrected, lambda: now)

    killed, now = started(), 10.0
    killed.step("operations", 1, 2)
    now = 20.0  # 10 s between the runs
    again, now = started(), 25.0
    again.step("operations", 2, 2)
    now = 28.0
    again.finish()
    assert again.seconds == 10 + 8
    finished, now = started(), 40.0
    finished.step("operations", 2, 2)
    finished.finish()
    assert finished.seconds == started().seconds == 18
    more, now = started(n_corrected=6), 45.0
    more.finish()
    assert more.seconds == 18 + 5
