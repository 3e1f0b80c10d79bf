"""Flags of a funnel: its name, its file, its help."""

from pathlib import Path

import pytest

from raynas.cli import commands, run_tune
from raynas.trials import Training
from tests.cli.funnel_lines import STAGES, search


def test_more_of_the_same_is_the_same_funnel() -> None:
    more = ("--funnel", "zero_cost 300 synflow", "train 20 epochs=2", "train 5 epochs=6 lr=1e-2")
    other = ("--funnel", "zero_cost 30 naswot", "train 10 epochs=2", "train 4 epochs=6 lr=1e-2")
    names = [str(search(*flags).run.name) for flags in (STAGES, more, other, (*STAGES, "--seed", "3"), ())]
    assert names[0] == names[1] and len(set(names)) == 4
    assert names[0].startswith("cnn-digits-funnel-random-")


def test_a_file_and_back(tmp_path: Path) -> None:
    (tmp_path / "funnel.yaml").write_text(
        "epochs: 4\nfunnel:\n  - zero_cost 30 synflow\n  - train 10 epochs=2\n  - train 4\nstrategy: local\n"
    )
    command = search("--config", str(tmp_path / "funnel.yaml"))
    assert [stage.n for stage in command.stages] == [30, 10, 4]
    assert isinstance(command.trainable, Training) and command.trainable.epochs == 4
    (tmp_path / "options.yaml").write_text(command.text)
    again = search("--config", str(tmp_path / "options.yaml"))
    assert (again.stages, again.strategy, again.run) == (command.stages, command.strategy, command.run)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        search("--help-all")
    text = " ".join(capsys.readouterr().out.split())
    assert "%" not in text
    assert "--funnel TEXT ..." in text and '"train 60 epochs=2" "train 8 epochs=30"' in text


def test_one_stage_is_no_funnel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_tune(["--funnel", "train 3", "--results", str(tmp_path)]) == commands.BAD_INPUT
    assert "error: a funnel needs at least two stages, got 1" in capsys.readouterr().err
