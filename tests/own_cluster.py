"""Processes with a Ray cluster of their own, to be killed."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

FUNCTION = """
import os, runpy, sys
import ray
from tests.small_clusters import start_fewer_processes

start_fewer_processes()
sys.executable = os.environ.get("FORKING_PYTHON", sys.executable)
ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=150 * 2**20)
file, function, folder = sys.argv[1:]
sys.exit(runpy.run_path(file)[function](folder))
"""

SCRIPT = """
import os, runpy, sys
from tests.small_clusters import start_fewer_processes

start_fewer_processes()
sys.executable = os.environ.get("FORKING_PYTHON", sys.executable)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@contextlib.contextmanager
def running(file: str, function: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that calls a function of a file and ends with the exit code that it returns; kill it at last."""
    command = [sys.executable, "-c", FUNCTION, file, function, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait for something that a process does."""
    deadline = time.monotonic() + 200
    while not condition():
        assert process.poll() is None, "the process ended too early"
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)


def run_script(script: Path, *arguments: str, timeout: float) -> "subprocess.CompletedProcess[str]":
    """Run a script, which starts Ray, as ``python script arguments`` does."""
    command = [sys.executable, "-c", SCRIPT, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)
