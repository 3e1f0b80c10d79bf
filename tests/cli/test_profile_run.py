"""Profiles from the command line."""

import sys
from pathlib import Path

import pytest

from raynas.cli import commands
from raynas.cli.commands import profile_space
from raynas.cli.profile_request import read_profile
from raynas.cli.search_command import latency_metrics
from raynas.cli.search_request import read_search
from raynas.errors import RaynasError
from raynas.metrics.latency_table import load_table

SOURCE = """
from torch import nn

import raynas

net = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))


class Chosen(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(*(raynas.Choice({"one": one, "two": two}) for _ in range(3)))

    def forward(self, x):
        return self.layers(x)


def one():
    return nn.Linear(4, 4)


def two():
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))


space = raynas.ModelSpace(Chosen, input_shape=(4,))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model and a space, which is not on the path, as for a console command."""
    (tmp_path / "net_of_a_user.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    monkeypatch.delitem(sys.modules, "net_of_a_user", raising=False)
    return tmp_path


FEW = ("--n_corrected", "2", "--n_left_out", "3")


def test_a_space_of_the_users(capsys: pytest.CaptureFixture[str]) -> None:
    assert profile_space(["--space", "net_of_a_user:space", *FEW]) == commands.OK
    out = capsys.readouterr().out
    path = Path("latency_tables/net_of_a_user_space-eager.json")
    assert f"the table goes to {path}" in out and "networks left out" in out and "n = 3" in out
    assert f"raynas search --latency.table {path}" in out
    table = load_table(path)
    assert len(table.left_out) == 3 and table.error is not None
    tokens = ["--space", "net_of_a_user:space", "--latency.table", str(path)]
    (metric,) = latency_metrics(read_search(tokens).latency)
    assert metric.name == "latency_ms" and "predicted" in metric.title
    before = path.read_text()
    assert profile_space(["--space", "net_of_a_user:space", *FEW]) == commands.OK
    assert path.read_text() == before  # nothing was measured again


def test_a_model_of_the_users(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--model", "net_of_a_user:net", "--input", "4", "--output", "mine/table.json", "--seed", "1", *FEW]
    assert profile_space(argv) == commands.OK, capsys.readouterr().err
    assert load_table("mine/table.json").space.startswith("Sequential")


def test_the_name_of_the_file_says_what_is_measured() -> None:
    argv = ["--space", "nasbench201", "--latency.backend", "onnxruntime", "--latency.device", "jetson"]
    assert read_profile(argv).path == Path("latency_tables/nasbench201-onnxruntime-jetson.json")
    assert read_profile(["--latency.measure", "./phone.sh"]).path.name == "cnn-measured.json"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--latency.device", "a", "b"], "a table is of one device"),
        (["--latency.table", "x.json"], "--latency.table is for a search"),
        (["--latency.predictor", "x.safetensors"], "--latency.predictor is for a search"),
        (["--n_left_out", "-1"], "n_left_out must be a whole number"),
        (["--n_leftout", "1"], "did you mean '--n_left_out'?"),
    ],
)
def test_mistakes_are_refused_at_once(argv: list[str], message: str) -> None:
    with pytest.raises(RaynasError) as error:
        read_profile(argv)
    assert message in str(error.value)


def test_a_file_of_something_else_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("table.json").write_text("{}")
    argv = ["--space", "net_of_a_user:space", "--output", "table.json"]
    assert profile_space(argv) == commands.BAD_INPUT
    assert capsys.readouterr().err.startswith("error: table.json is no table of latencies: ")
    with pytest.raises(RaynasError, match="cannot read the table of latencies"):
        latency_metrics(read_search(["--latency.table", "none.json"]).latency)


def test_an_interruption_says_where_the_measurements_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("raynas.cli.profile_run.profile_latency", interrupted)
    assert profile_space(["--space", "net_of_a_user:space"]) == commands.INTERRUPTED
    assert "what was timed is in latency_tables" in capsys.readouterr().err


def test_a_back_end_that_is_not_usable_is_refused_before_any_network_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*given: object) -> None:
        raise RaynasError("install something")

    monkeypatch.setattr("raynas.metrics.latency.backends.backend.require_packages", refuse)
    monkeypatch.setattr("raynas.cli.profile_run.space_maker", None)
    assert profile_space(["--space", "net_of_a_user:space", "--latency.backend", "tensorrt"]) == commands.BAD_INPUT
    assert "back end 'tensorrt' has device cuda" in capsys.readouterr().err
    tensorrt = ["--latency.backend", "tensorrt", "--torch_device", "cuda"]
    assert profile_space(["--space", "net_of_a_user:space", *tensorrt]) == commands.BAD_INPUT
    assert "back end 'tensorrt' is not usable here: install something" in capsys.readouterr().err
