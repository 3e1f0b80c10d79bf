"""Exports from the command line."""

import json
from pathlib import Path

import pytest
import torch

from raynas.cli import commands, export_found
from raynas.files.weights import write_weights
from raynas.run.best import keep
from raynas.search_spaces import MLP
from raynas.trials import Training

SPACE = MLP(input_shape=(1, 8, 8), max_layers=1, widths=(4,))
ARCH = next(SPACE.enumerate())
QUICK = ("--formats", "source", "--no_verify")


def found(folder: Path) -> Path:
    """Leave the best architecture of a search, trained to its end in a folder below."""
    keep(ARCH, folder, SPACE, Training(seed=4), SPACE.build(ARCH).state_dict())
    trained = folder / "retrained"
    trained.mkdir()
    torch.manual_seed(1)
    write_weights(SPACE.build(ARCH).state_dict(), trained / "weights.safetensors")
    (trained / "architecture.json").write_text(ARCH.to_json())
    (trained / "metrics.json").write_text(json.dumps({"test_accuracy": 0.875, "epochs": 30}))
    return folder


def test_the_best_network_of_a_search_is_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = found(tmp_path) / "architecture.json"
    assert export_found([str(file), *QUICK]) == commands.OK
    assert "model.py, weights.safetensors" in capsys.readouterr().out.replace("\n", " ")
    card = (tmp_path / "export" / "README.md").read_text()
    assert f"raynas export {file}" in card and "seed 4" in card and "Images are of digits" in card
    assert "`model.onnx` | missing: it was not asked for" in card


def test_a_trained_network_is_exported_with_the_settings_above(tmp_path: Path) -> None:
    file = found(tmp_path) / "retrained" / "architecture.json"
    assert export_found([str(file), "--output", str(tmp_path / "out"), *QUICK]) == commands.OK
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| test_accuracy | 0.875 |" in card and "on the test split of digits" in card
    held = (tmp_path / "out" / "weights.safetensors").read_bytes()
    assert held == (tmp_path / "retrained" / "weights.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weights", "nowhere.safetensors"], "there are no weights nowhere.safetensors"),
        (["--formats", "onx"], "unknown format 'onx'; did you mean 'onnx'?"),
        (["--space.widths", "8"], "holds no architecture"),
    ],
)
def test_mistakes_are_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export_found([str(found(tmp_path) / "architecture.json"), *options]) == commands.BAD_INPUT
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


def test_a_damaged_file_of_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = found(tmp_path) / "architecture.json"
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    assert export_found([str(file)]) == commands.BAD_INPUT
    assert "cannot be read as weights" in capsys.readouterr().err
