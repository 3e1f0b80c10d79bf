"""Minings from the command line."""

import json
import sys
from pathlib import Path

import pytest

from raynas.cli import commands
from raynas.cli.mine_request import METHODS, read_mine
from raynas.errors import RaynasError, SettingError, UnknownNameError
from raynas.oneshot import ONESHOT

SOURCE = """
from torch import nn

def net(n_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, n_classes))
"""


@pytest.mark.usefixtures("ray_cluster")
def test_a_front_is_mined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mined_model.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    monkeypatch.delitem(sys.modules, "mined_model", raising=False)
    argv = [
        "mined_model:net",
        "--data",
        "digits",
        "--epochs",
        "1",
        "--trainable.data_fraction",
        "0.2",
        "--members",
        "3",
    ]
    argv += ["--recovered", "2", "--recover", "1", "--trainable.device", "cpu", "--json"]
    assert commands.mine_model(argv) == commands.OK
    out, err = capsys.readouterr()
    answer = json.loads(out)["result"]
    assert Path(answer["folder"]) == tmp_path / "results" / "mined_model_net-digits-mined"
    assert answer["members"] == 3 and len(answer["recovered"]) == 2 and set(answer["belief"]) == {"divergence"}
    assert {"divergence", "macs"} <= answer["front"][0]["metrics"].keys() and "Step 3 of 3" in err


def test_the_command_line_is_checked() -> None:
    for argv, expected in (
        (["--data", "digits"], "give the model first: raynas mine package.module:name"),
        (["my_net:net"], "--data is missing"),
    ):
        with pytest.raises(RaynasError, match=expected):
            read_mine(argv)
    with pytest.raises(SettingError, match="members must be a whole number of at least 1, got 0"):
        read_mine(["my_net:net", "--data", "digits", "--members", "0"])
    with pytest.raises(UnknownNameError, match="unknown method of sharing 'enas'"):
        read_mine(["my_net:net", "--data", "digits", "--sharing", "enas"])
    request = read_mine(["my_net:net(3)", "--data", "npz:data/photos.npz", "--vary", "a.*=width:0.5", "--name", "mine"])
    assert request.path.name == "mine" and request.model.vary == ("a.*=width:0.5",)


def test_methods_are_those_that_need_no_classes() -> None:
    assert sorted(METHODS) == sorted(name for name, method in ONESHOT.items() if not method.needs_classes)
