"""Ray workers that are forked from one process, so that the import of torch and others is paid for once.

An actor is a new Python process that imports for five seconds of CPU, and the tests start about two hundred. Here the
raylet is given a short command in place of the interpreter: it asks a server, which has imported what is slow, to fork,
and ends with the worker. Ray's C++ part reads its variables when it is imported, among them the raylet and the job that
a worker belongs to; so a process between, one for each raylet and job, imports Ray. The workers are Ray's own, each
with a process to itself. Other systems than Linux, which fork no process with threads or pass on no open files, start
their workers as always.
"""

import atexit
import contextlib
import importlib
import json
import os
import random
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

SLOW_MODULES = (
    "fsspec",
    "google.protobuf.json_format",
    "jsonschema",
    "msgspec.json",
    "pandas",
    "pyarrow.fs",
    "pydantic",
    "requests",
    "rich.console",
    "safetensors.torch",
    "sklearn.datasets",
    "torch._dynamo",  # an optimizer imports it
)

AFTER_RAY = ("ray.tune", "raynas.trials", "raynas.search_spaces", "raynas.run.final_measurement", "raynas.testing")
"""Modules that import Ray, and take half a second in each worker."""

VARIABLE = "FORKING_PYTHON"
"""Name of the command for processes that tests start; each may set ``sys.executable`` to it before it starts Ray."""

ASK = """\
#!{python} -SE
import json, os, socket, sys
if not any(arg.endswith("default_worker.py") for arg in sys.argv):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
asked = json.dumps({{"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}}).encode()
socket.send_fds(server, [len(asked).to_bytes(8, "big")], [0, 1, 2])
server.sendall(asked)
server.recv(1)  # returns when the worker ends
"""
"""The command that the raylet starts: isolated and without site-packages, which takes 20 ms."""


@contextlib.contextmanager
def forked_workers(folder: Path) -> Iterator[None]:
    """Let clusters that are started in the context fork their workers; the server ends with it.

    Args:
        folder: for the socket; its path must be short.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    address, command = folder / "fork", folder / "python"
    command.write_text(ASK.format(python=sys.executable, address=str(address)))
    command.chmod(0o755)
    root = Path(__file__).parents[1]
    server = subprocess.Popen([sys.executable, "-m", "tests.forked_workers", str(address)], cwd=root)
    while not address.exists() and server.poll() is None:
        time.sleep(0.02)
    python = sys.executable
    sys.executable = os.environ[VARIABLE] = str(command)
    try:
        yield
    finally:
        sys.executable = python
        del os.environ[VARIABLE]
        server.kill()
        server.wait()


Variables = frozenset[tuple[str, str]]
"""Those of Ray."""


def serve(address: str) -> None:
    """Fork a worker for each connection, as long as the process that started this one runs."""
    listener, starter = socket.socket(socket.AF_UNIX), os.getppid()
    listener.bind(address + ".new")
    listener.listen(64)
    import_slow_modules()
    os.rename(address + ".new", address)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps processes
    parents: dict[Variables, socket.socket] = {}
    listener.settimeout(5)
    while os.getppid() == starter:
        with contextlib.suppress(TimeoutError):
            connection, _ = listener.accept()
            answer(connection, listener, parents)


def answer(connection: socket.socket, listener: socket.socket, parents: dict[Variables, socket.socket]) -> None:
    """Let the parent for the raylet and the job of a request fork a worker; start that parent if there is none."""
    with connection, contextlib.suppress(EOFError, ConnectionError):  # the command may have been killed
        asked, files = request(connection, 3)
        variables = frozenset(item for item in asked["env"].items() if item[0].startswith(("RAY_", "TUNE_")))
        if variables not in parents:
            forget_ended_raylets(parents)
            parents[variables] = start_parent(asked["env"], [listener, connection, *parents.values()])
        send(parents[variables], asked, [connection.fileno(), *files])
        close(files)


def import_slow_modules() -> None:
    """Import what takes long in each actor, except Ray: see :func:`start_parent`."""
    for name in SLOW_MODULES:
        importlib.import_module(name)


def forget_ended_raylets(parents: dict[Variables, socket.socket]) -> None:
    """Let the parents of workers end whose raylet has ended."""
    for variables in list(parents):
        if not Path("/proc", dict(variables).get("RAY_RAYLET_PID", "self")).exists():
            parents.pop(variables).close()


def start_parent(environment: Mapping[str, str], others: Sequence[socket.socket]) -> socket.socket:
    """Fork a process that imports Ray in an environment, and forks a worker for each request on the socket.

    Args:
        environment: all variables of the first worker.
        others: sockets of this process that are not for the new one.
    """
    ours, requests = socket.socketpair()
    if os.fork() != 0:
        requests.close()
        return ours
    for other in (ours, *others):
        other.close()
    os.environ.clear()
    os.environ.update(environment)
    import_ray()
    with contextlib.suppress(EOFError):
        while True:
            asked, files = request(requests, 4)
            if os.fork() == 0:
                requests.close()
                become_worker(asked, files[1:])
            close(files)
    os._exit(0)


def import_ray() -> None:
    """Import what needs Ray, and leave Ray's generator of identities unused, so that each fork seeds one of its own.

    A class of actors draws its identity where it is defined, and Ray Tune defines some. Forks that go on from that draw
    would draw the same: two workers that give one name to the first object that each puts into the store make it crash,
    and the driver waits for ever.
    """
    import ray.actor

    drawn = ray.actor.ActorClassID
    without_the_generator = SimpleNamespace(from_random=lambda: drawn(os.urandom(drawn.size())))
    with mock.patch.object(ray.actor, "ActorClassID", without_the_generator):
        for name in AFTER_RAY:
            importlib.import_module(name)


def become_worker(asked: Mapping[str, Any], files: Sequence[int]) -> None:
    """Run Ray's worker in this process, as if it had been started with the command that is asked for.

    The socket of the command is left open, so that the command ends with this process.
    """
    for target, file in enumerate(files):
        os.dup2(file, target)
        os.close(file)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    draw_new_seeds()
    sys.argv = worker_command(asked["argv"])
    sys.path[0] = str(Path(sys.argv[0]).parent)
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:  # Ray ends it by SystemExit; to take the whole interpreter down takes a second
        atexit._run_exitfuncs()
        os._exit(0)


def send(to: socket.socket, asked: Mapping[str, Any], files: Sequence[int]) -> None:
    """Send a request with open files."""
    text = json.dumps(asked).encode()
    socket.send_fds(to, [len(text).to_bytes(8, "big")], files)
    to.sendall(text)


def request(connection: socket.socket, n_files: int) -> tuple[dict[str, Any], list[int]]:
    """Receive a request with its open files."""
    head, files, _, _ = socket.recv_fds(connection, 8, n_files)
    if not head:
        raise EOFError
    return json.loads(received(connection, int.from_bytes(head, "big"))), files


def close(files: Sequence[int]) -> None:
    for file in files:
        os.close(file)


def received(connection: socket.socket, n_bytes: int) -> bytes:
    """Read exactly ``n_bytes``."""
    data = b""
    while len(data) < n_bytes:
        part = connection.recv(n_bytes - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def draw_new_seeds() -> None:
    """Let each worker have random numbers of its own, as processes have that do not begin as copies."""
    import numpy as np
    import torch

    seed = int.from_bytes(os.urandom(4), "big")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def worker_command(argv: list[str]) -> list[str]:
    """Return the script of the worker and its arguments, after the set-up that Ray's ``setup_worker.py`` would do."""
    from ray._private.runtime_env.context import RuntimeEnvContext
    from ray._private.workers.setup_worker import parser

    asked, rest = parser.parse_known_args(argv)
    context = RuntimeEnvContext.deserialize(asked.serialized_runtime_env_context or "{}")
    os.environ.update(context.env_vars)
    return [arg for arg in rest if not arg.endswith("setup_worker.py")]


if __name__ == "__main__":
    serve(sys.argv[1])
