"""Output of the two scripts."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from raynas.cli.terminal import say, shown


def test_a_long_path_is_not_broken() -> None:
    console = Console(file=io.StringIO(), width=20)
    say(f"in {'folder/' * 10}", console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == f"in {'folder/' * 10}\n"


def test_a_path_is_relative_below_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "results" / "a") == "results/a"
    assert shown(tmp_path.parent) == str(tmp_path.parent)
