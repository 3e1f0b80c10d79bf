"""The benchmark of training that heeds subnets, at its smallest."""

import json
from pathlib import Path

import pytest

from scripts.bench.subnet_aware import METHODS, main


def test_it_runs_small_and_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--quick", "--results", str(tmp_path)]
    main(command)
    told = capsys.readouterr().out
    files = sorted(tmp_path.glob("*.json"))
    assert len(files) == len(METHODS) and all(-1 <= json.loads(file.read_text())["tau"] <= 1 for file in files)
    assert [line.split(" | ")[0][2:] for line in told.splitlines()[2:]] == list(METHODS)
    main(command)
    assert capsys.readouterr().out == told == (tmp_path / "subnet_aware.md").read_text()
