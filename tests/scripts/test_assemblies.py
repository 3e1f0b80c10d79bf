"""The benchmarks of assemblies, at their smallest."""

import re
from pathlib import Path

import pytest

from scripts.bench.assemblies import main
from scripts.bench.kill_blocks import main as kill
from scripts.bench.search_quality import read


def test_it_runs_small_and_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--quick", "--workers", "0", "--cases", "digits", "--results", str(tmp_path)]
    main(command)
    (row,) = read(tmp_path / "assemblies.jsonl")
    assert row["assemblies"] == 64 and row["correlations"]["spearman"] > 0.5 and len(row["solved"]) == 4
    for each in row["solved"]:
        assert "error" in each or (each["is_least_sum"] and each["best"] <= each["best_of_five"] <= each["answer"])
    told = capsys.readouterr().out
    main(command)
    assert told.endswith(capsys.readouterr().out)
    assert read(tmp_path / "assemblies.jsonl") == [row]


def test_a_killed_library_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    kill(["--kills", "1", "--blocks", "2", "--workers", "0"])
    told = capsys.readouterr().out
    assert "equal True, finished and written again 0" in told
    assert int(re.findall(r"kill 1: (\d+) of 14", told)[0]) <= 14
