"""The page on archives: each of its blocks runs, one after another."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from raynas.cli.main import main

PAGE = Path(__file__).parents[2] / "docs" / "archives.md"


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    for language, code in found:
        if language == "python":
            exec(compile(code, PAGE.name, "exec"), names)
        else:
            for line in code.splitlines():
                assert main(shlex.split(line)[1:]) == 0, capsys.readouterr().err
    assert len(found) == 5 and "16 evaluations in results/both" in capsys.readouterr().out
