"""Files of tables of latencies."""

import json
from pathlib import Path

import pytest

from raynas.core.architecture import Architecture
from raynas.errors import RaynasError
from raynas.metrics.latency_predictor import prediction_error
from raynas.metrics.latency_table import LatencyTable, Operation, TimedNetwork, load_table, save_table

TABLE = LatencyTable(
    space="Net 0123",
    measurement="eager",
    batch_size=2,
    facts={"backend": "eager", "n_threads": 1},
    operations={"0" * 16: Operation(title="Linear 1x4", ms=0.5, macs=8, elements=2, doubt="busy")},
    corrected_by=[TimedNetwork(arch=Architecture({"depth": 2, "pair": (1, 2)}), ms=1.5)],  # type: ignore[dict-item]
    left_out=[TimedNetwork(arch=Architecture({"depth": 3, "pair": None}), ms=2.5, doubt="busy")],  # type: ignore[dict-item]
    correction=(0.1, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    error=prediction_error([1.0, 2.0], [1.1, 2.2], "networks left out"),
)


def test_a_file_holds_the_whole_table(tmp_path: Path) -> None:
    save_table(TABLE, tmp_path / "table.json")
    assert load_table(tmp_path / "table.json") == TABLE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("latency_table", 2),
        ("operations", {"../x": {"title": "", "ms": 1, "macs": 1, "elements": 1, "doubt": ""}}),
        ("operations", {"0" * 16: {"title": "", "ms": 0, "macs": 1, "elements": 1, "doubt": ""}}),
        ("operations", {"0" * 16: {"title": "", "ms": 1, "macs": -1, "elements": 1, "doubt": ""}}),
        ("correction", [1.0]),
        ("left_out", [{"arch": {"a/b": 1}, "ms": 1, "doubt": ""}]),
        ("batch_size", 0),
        ("space", ""),
        ("error", {"n": 1}),
    ],
)
def test_a_malformed_file_is_refused(field: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    save_table(TABLE, path)
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(RaynasError, match=r"table\.json is no table of latencies: .*; make it by raynas profile"):
        load_table(path)


def test_a_file_that_is_missing_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RaynasError, match="cannot read the table of latencies"):
        load_table(tmp_path / "none.json")
    save_table(TABLE, tmp_path / "table.json")
    monkeypatch.setattr("raynas.metrics.latency_table.storing.MAX_BYTES", 10)
    with pytest.raises(RaynasError, match="more than 10 bytes"):
        load_table(tmp_path / "table.json")
