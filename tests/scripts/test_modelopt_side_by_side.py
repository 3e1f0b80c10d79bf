"""The bench beside FastNAS: its table by hand, and a run with a network that another library made smaller."""

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from scripts.bench import modelopt_side_by_side
from scripts.bench.modelopt_side_by_side import main, report
from scripts.bench.recover_then_decide import Study
from scripts.bench.search_quality import read
from tests.scripts.test_recover_then_decide import rows


def test_longer_trainings_have_a_line_of_their_own_and_failures_say_why() -> None:
    ours = [{**row, "setting": {"metric": "accuracy", "epochs": 2}} for row in rows()]

    def row(name: str, epochs: int, divergence: float, **more: Any) -> dict[str, Any]:
        curve = [1.0] * (epochs - 1) + [divergence]
        return {"name": name, "seed": 0, "epochs": epochs, "curve": curve, "test": {"accuracy": 0.7}, **more}

    found = {"share": 0.42, "seconds_of_search": 7.0}
    theirs = [row("FastNAS by accuracy", 2, 0.5, **found), row("FastNAS by accuracy", 5, 0.25, **found)]
    others = [row("recover, then decide", 5, 0.1), *theirs, {"name": "FastNAS by divergence", "reason": "no width"}]
    lines = report(ours, others).splitlines()
    assert lines[2].startswith("| recover, then decide | 5 | 0.2000 ± nan | 0.0000 ± nan | 0.8000")
    assert "| recover, then decide, longer | 5 | 0.1000 ± nan | -0.1000 ± nan | 0.7000 ± nan | 0.1000 ± nan |" in lines
    assert any(line.startswith("| FastNAS by accuracy | 2 | 0.5000 ± nan | 0.3000") for line in lines)
    assert any(line.startswith("| FastNAS by accuracy, longer | 5 | 0.2500 ± nan | 0.0500") for line in lines)
    assert "FastNAS by accuracy: 42.0% of the multiply-adds, found in 7 s of CPU." in lines
    assert "FastNAS by divergence failed: no width" in lines


def halves(made: Study, score: str, checkpoint: Path) -> nn.Module:
    """Stand in for FastNAS: the member of the least widths."""
    if score == "divergence":
        raise ValueError("no width")
    return made.space.build(made.space.smallest)


def test_its_network_recovers_as_ours_do_from_the_same_teacher(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modelopt_side_by_side, "pruned", halves)
    command = ["--quick", "--model", "resnet", "--data", "digits", "--folder", str(tmp_path / "models")]
    main([*command, "--results", str(tmp_path)])
    told = capsys.readouterr().out
    assert "FastNAS by divergence failed: ValueError: no width" in told
    found = read(tmp_path / "resnet-fastnas-accuracy.jsonl")
    assert [len(row["curve"]) for row in found] == [2, 5]
    assert 0 < found[0]["share"] < 0.5
    assert min(found[0]["curve"]) > 0.001  # it learns from the given model, not from itself
    assert [len(row["curve"]) for row in read(tmp_path / "resnet-longer.jsonl")] == [5]
    main([*command, "--results", str(tmp_path)])
    assert capsys.readouterr().out == told
