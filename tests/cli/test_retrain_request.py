"""The command line of retraining, and its help."""

from pathlib import Path

import pytest

from raynas.cli.options import names_code
from raynas.errors import RaynasError
from raynas.run.best import keep
from raynas.search_spaces import MLP
from raynas.trials import Training
from tests.cli.command_lines import retrain


def test_help_of_retraining(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        retrain("--help")
    text = capsys.readouterr().out
    assert "ARCHITECTURE.json" in text and "--output" in text and "--strategy" not in text


def test_help_shows_the_settings_beside_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(next(MLP().enumerate()), tmp_path, MLP(max_layers=5), Training(data="mnist", epochs=7, batch_size=24))
    with pytest.raises(SystemExit):
        retrain(str(tmp_path / "architecture.json"), "--help-all")
    text = " ".join(capsys.readouterr().out.split())
    for value in ("mnist", "24", "5"):
        assert f"(default: {value}, from the file)" in text


def test_settings_that_name_code_do_not_run_it(tmp_path: Path) -> None:
    keep(next(MLP().enumerate()), tmp_path, MLP(), Training(data="mine:loaders"))
    file = str(tmp_path / "architecture.json")
    with pytest.raises(RaynasError, match="say so: --data mine:loaders"):
        retrain(file)
    assert retrain(file, "--data", "mine:loaders").training.data == "mine:loaders"
    assert [names_code(d) for d in ("digits", "npz:a.npz", "folder:b", "mine:f")] == [False, False, False, True]


def test_retraining_needs_a_file() -> None:
    with pytest.raises(RaynasError, match="give the architecture file first"):
        retrain("--space", "mlp")
