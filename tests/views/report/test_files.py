"""A report as files."""

import json
from pathlib import Path

import pytest

from raynas.errors import RaynasError
from raynas.views.report import write
from raynas.views.report.text import as_text
from tests.views.report.searches import TRIALS, searched, summary_of


def test_files(tmp_path: Path) -> None:
    result = searched()
    summary = summary_of(result, searched(TRIALS[:2]))
    write(summary, tmp_path, searches={"search": result, "random": searched(TRIALS[:2])})
    assert (tmp_path / "summary.txt").read_text() == as_text(summary)
    told = json.loads((tmp_path / "summary.json").read_text())
    assert summary.best and told["best"]["architecture"] == summary.best.arch.to_config()
    assert told["best"]["hyperparameters"] == {"lr": 0.2}
    assert len(told["fronts"]["latency_ms"]) == 3
    assert told["comparison"]["difference"] == 0.0 and "NOT better" in told["comparison"]["verdict"]
    for cost in ("latency_ms", "params"):
        assert (tmp_path / f"pareto_{cost}.png").read_bytes().startswith(b"\x89PNG")


def test_the_file_has_the_baseline_and_how_the_search_ended(tmp_path: Path) -> None:
    result = searched(constraints="macs <= 2 * baseline", baseline={"macs": 4.0}, interrupted=True)
    write(summary_of(result), tmp_path)
    told = json.loads((tmp_path / "summary.json").read_text())
    assert (told["baseline"], told["constraints"], told["interrupted"]) == ({"macs": 4.0}, ["macs <= 8"], True)


def test_files_of_a_search_without_a_result(tmp_path: Path) -> None:
    write(summary_of(searched([("failed", 0, 0.0, 0.0, 0.0)])), tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text())["best"] is None
    assert not list(tmp_path.glob("*.png"))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(RaynasError, match="cannot write the report"):
        write(summary_of(searched()), tmp_path / "nowhere")
