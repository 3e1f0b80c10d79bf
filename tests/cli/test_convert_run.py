"""Conversions from the command line."""

import sys
from pathlib import Path

import pytest
import ray  # noqa: F401  # for itself: it changes sys.path when it is imported

from raynas.cli import commands, convert_model

SOURCE = """
from torch import nn

net = nn.Sequential(nn.Linear(4, 32, bias=False), nn.ReLU(), nn.Linear(32, 2, bias=False))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model, which is not on the path, as for a console command."""
    (tmp_path / "net_of_a_user.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    monkeypatch.delitem(sys.modules, "net_of_a_user", raising=False)
    return tmp_path


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    path = list(sys.path)
    assert convert_model(["net_of_a_user:net", "--input", "4"]) == commands.OK
    out = capsys.readouterr().out
    assert out.splitlines()[:3] == [
        "Sequential: 1 width, 3 members",
        "  group    layers  options   params    MACs",
        "  0.width  0, 2    32 24 16  100.0%  100.0%",
    ]
    assert "latency" not in out and sys.path == path


def test_options_choose(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["net_of_a_user:net", "--input", "4", "--vary", "0=width:0.25", "--divisor", "4"]
    assert convert_model(argv) == commands.OK
    assert "  0.width  0, 2    32 8 " in capsys.readouterr().out


def test_the_profile(capsys: pytest.CaptureFixture[str]) -> None:
    assert convert_model(["net_of_a_user:net", "--input", "4", "--profile"]) == commands.OK
    out = capsys.readouterr().out
    assert "3 members, untrained; latency of one example" in out and "Can the limits" not in out
    argv = ["net_of_a_user:net", "--input", "4", "--constraints", "macs <= 96", "params <= 100"]
    assert convert_model(argv) == commands.OK
    assert "all together: yes, the smallest member meets all" in capsys.readouterr().out


def test_a_limit_that_cannot_be_met_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["net_of_a_user:net", "--input", "4", "--constraints", "macs <= 95"]
    assert convert_model(argv) == commands.NO_RESULT
    out, err = capsys.readouterr()
    assert "macs <= 95: no, the smallest member has 96, and no other has less" in out
    assert err == "error: no member meets the limits: loosen them, or let more of the model vary\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "give the model first: raynas convert package.module:name"),
        (["net_of_a_user:net"], "--input is missing"),
        (["net_of_a_user:nett", "--input", "4"], "did you mean 'net'?"),
        (["nett_of_a_user:net", "--input", "4"], "cannot import 'nett_of_a_user:net'"),
        (["net_of_a_user", "--input", "4"], "named as package.module:function"),
        (["net_of_a_user:net", "--input", "5"], "Sequential does not run on the example inputs"),
        (["net_of_a_user:net", "--input", "4", "--keep", "0.widht"], "did you mean '0.width'?"),
        (["net_of_a_user:net", "--input", "4", "--divsor", "4"], "did you mean '--divisor'?"),
        (["net_of_a_user:net", "--input", "4", "--divisor", "0"], "divisor must be"),
        (["net_of_a_user:net", "--config", "mine.yaml"], "--input mine:batch"),
    ],
)
def test_mistakes_are_one_line(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.yaml").write_text("input: ['mine:batch']\n")  # a file may not name code
    assert convert_model(argv) == commands.BAD_INPUT
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
