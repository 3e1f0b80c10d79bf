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
