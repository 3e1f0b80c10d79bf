"""The bench of sums of a table of latencies."""

import json

import pytest

from raynas.search_spaces import SEARCH_SPACES
from scripts.bench import table_sums
from tests.metrics.latency_table.nets import small_space


def test_it_prints_the_time_of_kept_outcomes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(SEARCH_SPACES, "mlp", small_space)
    table_sums.main(["--spaces", "mlp", "--archs", "12"])
    line, ratios = capsys.readouterr().out.splitlines()
    assert line.startswith("mlp ") and " kept " in line
    assert set(json.loads(ratios)["ratios"]) == {"mlp"}
