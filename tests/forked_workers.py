"""Ray workers that are forked from one process, so that the import of torch and others is paid for once.

An actor is a new Python process that imports for five seconds of CPU, and the tests start about two hundred. Here the
raylet is given a short command in place of the interpreter: it asks a server, which has imported what is slow, to fork,
and ends with the worker. The workers are Ray's own, each with a process to itself. Other systems than Linux, which fork
no process with threads or pass on no open files, start their workers as always.
"""

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
from collections.abc import Iterator
from pathlib import Path

SLOW_MODULES = (
    "fsspec",
    "google.protobuf.json_format",
    "jsonschema",
    "pandas",
    "pyarrow.fs",
    "pydantic",
    "requests",
    "rich.console",
    "sklearn.datasets",
    "torch._dynamo",  # an optimizer imports it
)

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


def serve(address: str) -> None:
    """Fork a worker for each connection."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address + ".new")
    listener.listen(64)
    import_slow_modules()
    os.rename(address + ".new", address)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps workers
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            become_worker(connection)
        connection.close()


def import_slow_modules() -> None:
    """Import what takes long in each actor, except Ray: its C++ part reads its variables when it is imported."""
    for name in SLOW_MODULES:
        importlib.import_module(name)


def become_worker(connection: socket.socket) -> None:
    """Run Ray's worker in this process, as if it had been started with the command that is asked for."""
    head, files, _, _ = socket.recv_fds(connection, 8, 3)
    asked = json.loads(received(connection, int.from_bytes(head, "big")))
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
    runpy.run_path(sys.argv[0], run_name="__main__")
    os._exit(0)


def received(connection: socket.socket, n_bytes: int) -> bytes:
    """Read exactly ``n_bytes``."""
    data = b""
    while len(data) < n_bytes:
        data += connection.recv(n_bytes - len(data))
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
