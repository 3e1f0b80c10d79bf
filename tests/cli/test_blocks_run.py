"""Libraries of blocks from the command line."""

import json
import sys
from pathlib import Path

import pytest

from raynas.cli import commands
from raynas.cli.blocks_request import read_blocks
from raynas.errors import RaynasError, SettingError

SOURCE = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))

    def forward(self, x):
        return x + self.layers(x)

def net(n_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), Block(), Block(), nn.Linear(32, n_classes))
"""

ARGV = [
    "blocks_of_a_user:net",
    "--data",
    "digits",
    "--epochs",
    "1",
    "--trainable.data_fraction",
    "0.2",
    "--workers",
    "0",
]
FEW = ["--alternatives", "width:0.5", "linear", "heads:0.5"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model."""
    (tmp_path / "blocks_of_a_user.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    monkeypatch.delitem(sys.modules, "blocks_of_a_user", raising=False)
    return tmp_path


def test_a_library_is_made_assembled_and_exported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [*ARGV, *FEW, "--trainable.device", "cpu", "--json"]
    assert (
        commands.replace_blocks([*argv, "--constraints", "macs <= 0.8 * baseline", "--assemblies", "2"]) == commands.OK
    )
    out, err = capsys.readouterr()
    answer = json.loads(out)["result"]
    assert Path(answer["folder"]) == folder / "results" / "blocks_of_a_user_net-digits-blocks"
    assert answer["best"] in [each["choices"] for each in answer["assemblies"]] and len(answer["assemblies"]) == 2
    assert answer["assemblies"][0]["predicted"]["macs"] <= 0.8 * answer["given"]["macs"]
    assert answer["scores"]["divergence"] > 0
    assert "3/3" in err and "has no heads:0.5: attention heads cannot be reduced: there are none" in err
    assert any(Path(file).name == "model.py" for file in answer["files"]) and "checked without raynas" in err
    argv = [*argv, "--constraints", "params <= 1", "--no-export"]
    assert commands.replace_blocks([each for each in argv if each != "--json"]) == commands.NO_RESULT
    out, err = capsys.readouterr()
    assert "'params <= 1' cannot be met: the smallest params of any assembly is" in err and "/3 " not in out


def test_the_command_line_is_checked() -> None:
    for argv, expected in (
        (["--data", "digits"], "give the model first: raynas blocks package.module:name"),
        (["my_net:net"], "--data is missing"),
        (["my_net:net", "--data", "digits", "--vary", "x"], "vary"),
    ):
        with pytest.raises(RaynasError, match=expected):
            read_blocks(argv)
    with pytest.raises(SettingError, match="assemblies must be a whole number of at least 1, got 0"):
        read_blocks(["my_net:net", "--data", "digits", "--assemblies", "0"])
    request = read_blocks(["my_net:net(3)", "--data", "npz:data/photos.npz", "--blocks", "a.*", "--name", "mine"])
    assert request.path.name == "mine" and request.flags.blocks == ("a.*",)
