"""The first ten minutes: an installed wheel, a model of one's own, mistakes and a kill, and the network taken away."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from raynas.core.archive import Archive
from tests.journeys.environment import Environment

MODEL = """
from torch import nn


class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(n, n, 3, padding=1), nn.BatchNorm2d(n), nn.ReLU(), nn.Conv2d(n, n, 1))

    def forward(self, x):
        return x + self.body(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 32, 3, padding=1)
        self.blocks = nn.Sequential(Block(32), Block(32), Block(32))
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))
"""

SCRIPT = """
import torch, raynas
from ray import tune
from sklearn.datasets import load_digits
from my_net import Net

images, labels = map(torch.tensor, load_digits(return_X_y=True))
x, y = images.float().view(-1, 1, 8, 8) / 16, labels


def train(model, config):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(2):
        for i in range(0, 1280, 64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x[i : i + 64]), y[i : i + 64]).backward()
            optimizer.step()
        yield float((model.eval()(x[1280:]).argmax(1) == y[1280:]).float().mean())
        model.train()


torch.manual_seed(0)  # A search continues with the weights that it began with.
space = raynas.convert(Net(), x[:2], keep=["head"])
run = tune.RunConfig(name="mine", storage_path="results")
result = raynas.search(space, train, constraints="latency_ms <= 0.8 * baseline", baseline="default",
                       num_samples=4, max_concurrent=1, run_config=run, tensorboard=False)
result.export("net")
torch.save((x[:3], result.best_model()(x[:3])), "expected.pt")
"""

TAKEN_AWAY = """
from importlib.util import find_spec

import torch
from model import load

assert find_spec("raynas") is None
images, expected = torch.load("../expected.pt")
torch.testing.assert_close(load()(images), expected, rtol=1e-5, atol=1e-5)
torch.testing.assert_close(torch.export.load("model.pt2").module()(images), expected, rtol=1e-5, atol=1e-5)
if find_spec("onnxscript") and find_spec("onnxruntime"):  # the extra "export" is installed
    import onnxruntime

    (found,) = onnxruntime.InferenceSession("model.onnx").run(None, {"x": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-4)
"""


def mistake(process: "subprocess.Popen[str]") -> str:
    """Wait for a command that fails; return the last line of its errors."""
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    return err.splitlines()[-1]


def finished(process: "subprocess.Popen[str]") -> str:
    """Wait for a command that succeeds; return its output."""
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, out + err
    return out


@pytest.fixture(autouse=True)
def no_process_stays() -> Iterator[None]:
    yield
    for process in Environment.started:
        process.kill()
    Environment.started.clear()


@pytest.mark.own_cluster
@pytest.mark.timeout(600)  # a minute of CPU time, in ten processes
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_from_a_wheel_to_a_file_that_runs_without_raynas(env: Environment, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "my_net.py").write_text(MODEL)
    (mine / "search.py").write_text(SCRIPT)
    convert = ("convert", "my_net:Net", "--input", "1x8x8")

    # At first all goes wrong: a misspelt layer, a limit that nothing meets, a folder that is not there.
    misspelt = env.raynas(mine, *convert, "--keep", "haed")
    impossible = env.raynas(mine, *convert, "--constraints", "macs <= 9")
    missing = env.raynas(mine, "report", "result/mine")
    killed = env.script(mine)  # meanwhile
    archive = mine / "results" / "mine" / "archive.jsonl"
    while killed.poll() is None and not (archive.exists() and '"ended"' in archive.read_text()):
        time.sleep(0.02)
    killed.kill()
    hint = "did you mean 'head'?"
    assert mistake(misspelt) == f"error: 'haed' matches no layer and no decision of the model; {hint}"
    assert mistake(impossible) == "error: no member meets the limits: loosen them, or let more of the model vary"
    assert mistake(missing) == "error: there is no folder 'result/mine'; name that of a search, such as results/NAME"

    # The search was killed, and what it found until then can be seen.
    out, _ = killed.communicate(timeout=60)
    assert killed.returncode == -9
    assert "Net: 4 widths, 1 depth, 243 members" in out and "Searching Net for highest accuracy" in out
    before = Archive.load(archive).evaluations
    shown = finished(env.raynas(mine, "report", "results/mine"))
    assert "Interrupted: what follows is what the search found so far" in shown

    # It resumes, and exports the best, which obeys the limit, in every format.
    finished(env.script(mine))
    found = Archive.load(archive)
    assert found.evaluations[: len(before)] == before and len(found.evaluations) == 4
    assert [record["num_samples"] for record in found.events("session")] == [4, 4]
    limit = 0.8 * found.events("session")[0]["baseline"]["latency_ms"]
    assert all(record["costs"]["latency_ms"] <= limit for record in found.events("proposed")[1:])  # after the baseline
    assert "interrupted" not in (mine / "results" / "mine" / "summary.txt").read_text().lower()
    elsewhere = Environment(tmp_path / "elsewhere")
    finished(elsewhere.start(mine / "net", elsewhere.python, "-c", TAKEN_AWAY))
