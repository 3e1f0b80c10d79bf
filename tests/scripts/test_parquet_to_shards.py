"""The script that rewrites Parquet files as shards."""

import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from scripts.parquet_to_shards import main


def test_archives_and_an_error_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "data.parquet"
    parquet.write_table(pa.table({"image": [b"1"], "label": [0]}), source)
    monkeypatch.setattr(sys, "argv", ["", str(source), str(tmp_path / "out"), "--part", "valid"])
    assert main() == 0 and (tmp_path / "out" / "valid-00000.tar").exists()
    assert f"train on them with --data shards:{tmp_path / 'out'}" in capsys.readouterr().out
    assert main() == 1 and capsys.readouterr().err.count("\n") == 1
