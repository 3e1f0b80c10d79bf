"""Disturbed measurements of latency: how often they are noticed, and how far off the figures are.

Each network is measured again and again in three conditions, by turns:

- quiet: with real-time priority, so that no other program takes the CPU (Linux, as root), whatever else runs. Caches
  and memory are shared all the same.
- as found: with the programs that happen to run.
- busy: with two more processes, each of which trains a network.

Attempts that follow doubts are made as in a search. What each sign said is printed, for the bounds in
``raynas/metrics/latency/trust.py``, and at last the table.

    python scripts/bench/latency_trust.py
    python scripts/bench/latency_trust.py --repeats 3 --backends eager
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from raynas.core.inputs import Arguments
from raynas.metrics.latency import LatencySettings, Timing, deploy, time_deployment
from raynas.metrics.latency.backends import backend_named
from raynas.search_spaces import MobileNetV3, NASBench201

CONDITIONS = ("quiet", "as found", "busy")

NEIGHBOUR = """
import torch
from torch import nn
torch.set_num_threads(1)
network = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.Flatten(), nn.Linear(25088, 10))
optimizer = torch.optim.SGD(network.parameters(), 0.001)
images, labels = torch.rand(32, 3, 32, 32), torch.randint(10, (32,))
print("training", flush=True)
while True:
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(images), labels).backward()
    optimizer.step()
"""


@contextmanager
def two_neighbours() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Start two processes that train, and stop them until they are needed."""
    neighbours = [subprocess.Popen([sys.executable, "-c", NEIGHBOUR], stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for neighbour in neighbours:
            assert neighbour.stdout is not None
            neighbour.stdout.readline()
            neighbour.send_signal(signal.SIGSTOP)
        yield neighbours
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.communicate()  # which closes its output too


@contextmanager
def condition(name: str, neighbours: "list[subprocess.Popen[bytes]]") -> Iterator[None]:
    """Make a condition, until the context ends."""
    try:
        if name == "quiet":
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        if name == "busy":
            for neighbour in neighbours:
                neighbour.send_signal(signal.SIGCONT)
            time.sleep(0.2)
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        for neighbour in neighbours:
            neighbour.send_signal(signal.SIGSTOP)


def networks() -> Iterator[tuple[str, nn.Module, tuple[int, ...]]]:
    """Yield networks of different sizes, with the shapes of their inputs."""
    yield "perceptron", nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)), (256,)
    for name, space in (("nasbench201", NASBench201()), ("mobilenetv3", MobileNetV3())):
        yield name, space.build(space.default), space.input_shape


def span(values: Sequence[float]) -> str:
    return f"{min(values):.2f} … {statistics.median(values):.2f} … {max(values):.2f}"


def row(name: str, backend: str, label: str, timings: Sequence[Timing], quiet_ms: float) -> str:
    signs = [[getattr(t, sign) or 0.0 for t in timings] for sign in ("load", "waited", "slowdown", "spread", "halves")]
    off = [t.ms / quiet_ms - 1 for t in timings]
    doubted = sum(not t.reliable for t in timings)
    cells = [name, backend, label, f"{doubted} of {len(timings)}", *map(span, signs), span(off)]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--backends", nargs="+", default=["eager", "onnxruntime"])
    parser.add_argument("--attempts", type=int, default=3)
    given = parser.parse_args()
    torch.manual_seed(0)
    titles = ("network", "back end", "condition", "doubted", "CPUs used by others", "waited", "slowdown", "spread")
    print(f"| {' | '.join([*titles, 'halves', 'off by'])} |\n|{'---|' * 10}")
    with two_neighbours() as neighbours:
        for name, network, shape in networks():
            for backend in given.backends:
                inputs, form = Arguments((torch.rand(1, *shape),)), backend_named(backend).form
                deployment = deploy(network, inputs, form, device=torch.device("cpu"), dtype=torch.float32)
                settings = LatencySettings(backend=backend, max_attempts=given.attempts)
                found: dict[str, list[Timing]] = {label: [] for label in CONDITIONS}
                for _ in range(given.repeats):
                    for label in CONDITIONS:
                        with condition(label, neighbours):
                            found[label].append(time_deployment(deployment, settings))
                quiet_ms = statistics.median(t.ms for t in found["quiet"])
                for label in CONDITIONS:
                    print(row(name, backend, label, found[label], quiet_ms), flush=True)


if __name__ == "__main__":
    main()
