"""The benchmark of exports, on its smallest network."""

from pathlib import Path

import pytest
import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.inputs import Arguments
from scripts.bench import exports
from scripts.bench.search_quality import read
from tests.exporting.test_network import PROGRAMS


def test_a_network_is_exported_verified_and_trained_without_raynas(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--networks", "space mlp", "--steps", "3", "--batch-size", "4", "--results", str(tmp_path)]
    exports.main(command)
    (row,) = read(tmp_path / "exports.jsonl")
    assert set(row["report"]) == PROGRAMS and row["alone"] == row["inside"] > 0
    table = (tmp_path / "exports.md").read_text()
    assert capsys.readouterr().out.endswith(table) and "| equal |" in table
    exports.main(command)
    assert read(tmp_path / "exports.jsonl") == [row]


def test_what_cannot_be_exported_or_trained_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Scores(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"scores": x}

    given = exports.Network(Scores(), Arguments((torch.rand(2, 3),)), Architecture({}))
    args = exports.arguments(["--results", str(tmp_path)])
    assert exports.losses(given, tmp_path, args) == {"untrained": "it gives a dict, and Training needs logits"}

    def missing(name: str, seed: int, folder: Path) -> exports.Network:
        raise ImportError("No module named 'timm'")

    monkeypatch.setattr(exports, "network", missing)
    row = exports.examined("converted timm vit_tiny_patch16_224", args)
    report = exports.report([{"network": "a", **row}, {"network": "b", "untrained": "why", "reason": "x"}])
    assert "| a | FAILED: ImportError: No module named 'timm' |" in report and "- b: not trained: why" in report


def test_a_loss_that_differs_is_shown() -> None:
    trained = {"inside": 2.0, "alone": 2.1, "rounded": 2.02, "seconds": 1.0}
    report = exports.report([{"network": "a", "report": {}, "missing": {"model.onnx": "no form"}, **trained}])
    assert "| 2.000000 | differs by 5e-02, rounding by 1e-02 |" in report and "- a: no model.onnx: no form" in report
