"""A search as a Ray job: submitted to the job server of a running cluster, as ``ray job submit`` does it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]

PORTS = ("port", "dashboard-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port", "metrics-export-port")


def free_ports(n: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


@contextmanager
def job_server(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Start a cluster with a job server on loopback, and end it; yield the server's address."""
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    address = f"http://127.0.0.1:{ports['dashboard-port']}"
    command = [*RAY, "start", "--head", "--block", "--num-cpus", "2", "--temp-dir", str(folder)]
    command += ["--object-store-memory", str(100 * 2**20), "--dashboard-host", "127.0.0.1"]
    command += [
        "--include-log-monitor",
        "false",
        *(part for name, port in ports.items() for part in (f"--{name}", str(port))),
    ]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 120
        while not _answers(f"{address}/api/version"):
            assert process.poll() is None, "the cluster ended"
            assert time.monotonic() < deadline, "the job server does not answer"
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()  # it ends the processes that it started
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with suppress(ProcessLookupError):  # none of its group is left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


@pytest.mark.own_cluster
@pytest.mark.skipif(sys.platform == "win32", reason="the processes of the cluster are one group of a session")
@pytest.mark.skipif(not find_spec("aiohttp_cors"), reason="the job server needs ray[default]")
def test_a_search_is_submitted(tmp_path: Path, short_folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("RAY_ADDRESS", None)
    search = [
        sys.executable,
        str(ROOT / "scripts" / "run_tune.py"),
        "--results",
        str(tmp_path / "results"),
        "--name",
        "job",
    ]
    search += ["--space", "mlp", "--num_samples", "2", "--epochs", "1", "--no_compare_random"]
    with job_server(short_folder, environment) as address:
        submit = [*RAY, "job", "submit", "--address", address, "--", *search]
        done = subprocess.run(submit, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout
    lines = (tmp_path / "results" / "job" / "archive.jsonl").read_text().splitlines()
    ended = [record for record in map(json.loads, lines) if record["event"] == "ended"]
    assert [record["status"] for record in ended] == ["finished"] * 2
