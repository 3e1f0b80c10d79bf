"""The console command and its sub-commands."""

import subprocess
import sys
from collections.abc import Sequence

import pytest

from raynas.cli import commands, main


def test_help_names_the_sub_commands_and_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--help"]) == main.main([]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in main.COMMANDS) and text.count("\n") / 2 <= 24
    assert max(map(len, text.splitlines())) <= 100


def test_help_loads_none_of_the_large_libraries() -> None:
    code = "import sys; from raynas.cli.main import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "ray", "numpy", "pandas", "rich.progress", "safetensors"} & set(done.stdout.split())


@pytest.mark.parametrize("name", sorted(main.COMMANDS))
def test_a_sub_command_gets_the_rest(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(argv: Sequence[str]) -> int:
        return 7 if list(argv) == ["a", "--b"] else 1

    monkeypatch.setattr(commands, main.COMMANDS[name][0], run)
    assert main.main([name, "a", "--b"]) == 7


def test_an_unknown_sub_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["serach"]) == 2
    assert capsys.readouterr().err == (
        f"error: unknown sub-command 'serach'; did you mean 'search'? Known: {', '.join(main.COMMANDS)}.\n"
    )


@pytest.mark.parametrize(
    ("name", "usage", "unknown"),
    [
        ("convert", "convert MODEL --input SHAPE ... [OPTIONS]", ("other options",)),
        ("report", "report RESULTS_DIR", ("--config", "--help-all")),
    ],
)
def test_help_of_a_sub_command_that_is_no_search(
    name: str, usage: str, unknown: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main.main([name, "--help"])
    out = capsys.readouterr().out
    assert out.startswith(f"usage: raynas {usage}\n") and not any(text in out for text in unknown)
