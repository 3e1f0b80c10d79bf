"""Exit codes, and errors in one line."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from raynas.cli import commands, run_tune

ROOT = Path(__file__).resolve().parents[2]


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_tune(["--space", "nasbench2"]) == commands.BAD_INPUT
    out, err = capsys.readouterr()
    assert (
        err.startswith("error: unknown search space 'nasbench2'; did you mean 'nasbench201'") and err.count("\n") == 1
    )
    assert not out


def test_an_interrupt_says_how_to_resume(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(command: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "_search", interrupted)
    assert run_tune([]) == commands.INTERRUPTED
    assert capsys.readouterr().err == "Interrupted. Run the same command again to go on from here.\n"


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_search", lambda command: int("a fault"))
    with pytest.raises(ValueError, match="invalid literal"):
        run_tune([])


def test_the_scripts() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = [
        subprocess.Popen(
            [sys.executable, ROOT / "scripts" / script, "--no_such_option"],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for script in ("run_tune.py", "retrain.py")
    ]
    for process in running:
        _, err = process.communicate(timeout=120)
        assert process.returncode == commands.BAD_INPUT
        assert err.startswith("error: ") and err.count("\n") == 1
