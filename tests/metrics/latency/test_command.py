"""A command of the user's gets the exported file; its output is checked, and its time is limited."""

import os
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from raynas.core.inputs import Arguments
from raynas.errors import RaynasError, SettingError
from raynas.metrics.latency import LatencySettings, deploy
from raynas.metrics.latency.command import Command, time_by_command

FILE = Path("model.onnx")


def script(folder: Path, text: str) -> str:
    path = folder / "measure.py"
    path.write_text(text)
    return f"{sys.executable} {path}"


def kilobytes(path: str) -> float:
    """A measurement of the user's: a file takes a millisecond for each kilobyte."""
    assert path.endswith(".onnx")
    return os.path.getsize(path) / 1024


def test_an_executable_gets_the_file_and_prints_times(tmp_path: Path) -> None:
    command = script(
        tmp_path, "import sys\nassert sys.argv[1:] == ['--fast', 'model.onnx']\nprint(' 2.5 ')\nprint(3)\n\n"
    )
    assert Command(text=f"{command} --fast").run(FILE) == [2.5, 3.0]


def test_a_function_is_called_in_a_process_of_its_own() -> None:
    model, inputs = nn.Linear(3, 4), Arguments((torch.rand(2, 3),))
    deployment = deploy(model, inputs, "onnx", device=torch.device("cpu"), dtype=torch.float32)
    settings = LatencySettings(backend="onnxruntime", batch_size=2)
    command = Command(text="tests.metrics.latency.test_command:kilobytes")
    timing = time_by_command(deployment, command, settings, "phone")
    assert timing.ms == len(deployment.file) / 1024
    assert (timing.backend, timing.device, timing.batch_size, timing.n_runs) == (command.text, "phone", 2, 1)
    assert timing.spread is None and timing.reliable


def test_times_that_spread_are_doubted(tmp_path: Path) -> None:
    inputs = Arguments((torch.rand(1, 3),))
    deployment = deploy(nn.Linear(3, 4), inputs, "onnx", device=torch.device("cpu"), dtype=torch.float32)
    command = Command(text=script(tmp_path, "print(1, 2, 3, 4, sep='\\n')"))
    timing = time_by_command(deployment, command, LatencySettings(), "phone")
    assert timing.ms == 2.5 and timing.spread == pytest.approx(1.5 / 2.5) and "spread by 60%" in timing.doubt


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("print('fast')", "must print milliseconds, one number a line: could not convert string to float: 'fast'"),
        ("", "must print milliseconds above 0, it printed ''"),
        ("print(-1)", "must print milliseconds above 0, it printed '-1'"),
        ("print('nan')", "must print milliseconds above 0, it printed 'nan'"),
        ("raise OSError('no phone')", "failed with exit status 1: OSError: no phone"),
        ("import os; os._exit(3)", "failed with exit status 3: it said nothing"),
    ],
)
def test_an_output_that_is_no_time_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(RaynasError) as caught:
        Command(text=script(tmp_path, text)).run(FILE)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="without groups of processes")
def test_its_time_is_limited_with_all_that_it_started(tmp_path: Path) -> None:
    child = f"import time; time.sleep(5); open({str(tmp_path / 'late')!r}, 'w')"
    text = f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {child!r}])\ntime.sleep(600)"
    start = time.monotonic()
    with pytest.raises(RaynasError, match=r"took longer than 2 s; time_limit allows more"):
        Command(text=script(tmp_path, text), seconds=2).run(FILE)
    assert time.monotonic() - start < 60
    time.sleep(4)
    assert not (tmp_path / "late").exists()


def test_mistakes_are_named() -> None:
    with pytest.raises(SettingError, match="got an empty text"):
        Command(text=" ")
    with pytest.raises(SettingError, match="time_limit must be a number above 0"):
        Command(text="x", seconds=0)
    with pytest.raises(RaynasError, match="no executable 'no-such-tool' here: give its whole path"):
        Command(text="no-such-tool --fast").run(FILE)
    with pytest.raises(RaynasError, match="has no function 'nothing'"):
        Command(text="tests.metrics.latency.test_command:nothing").run(FILE)
