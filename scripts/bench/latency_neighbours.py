"""Latency measured where a trial trains, and in an actor that measures alone, with and without busy neighbours.

The same networks are measured again and again, by turns,

- in the process of a trial, which has just trained a network and waits for the figure, as in a search,
- in an actor that does nothing but measure, on the same node,
- in that actor with real-time priority, so that no other program takes its CPU (Linux, as root): what could be had,

each with as many programs beside it as happen to run, and with two more, each of which trains a network. For each it is
printed how far the figures are off, relative to the median of those with priority and without neighbours, how many are
off by more than a tenth, and how many of these were noticed, that is marked as unreliable.

    python scripts/bench/latency_neighbours.py
    python scripts/bench/latency_neighbours.py --repeats 3 --backends eager --networks perceptron
"""

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the modules beside this file
from raynas.core.inputs import Arguments
from raynas.metrics.latency import LatencySettings, Timing, deploy, time_deployment
from raynas.metrics.latency.backends import backend_named
from raynas.metrics.latency.devices import MeasuringActor
from scripts.bench.latency_trust import condition, networks, two_neighbours

OFF = 0.1
"""Share by which a figure is off, when it counts as wrong."""

N_STEPS = 5
"""Number of steps of training before each measurement in the process of a trial."""


class TrialProcess(MeasuringActor):
    """Trains a little, then measures: what the process of a trial does with one architecture after another."""

    def measure(self, measurement: Callable[[], Timing]) -> Timing:
        network = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(28800, 10))
        optimizer = torch.optim.SGD(network.parameters(), 0.001)
        images, labels = torch.rand(32, 3, 32, 32), torch.randint(10, (32,))
        for _ in range(N_STEPS):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
        return super().measure(measurement)


class AheadActor(MeasuringActor):
    """Measures ahead of all other programs."""

    def measure(self, measurement: Callable[[], Timing]) -> Timing:
        with ahead():
            return super().measure(measurement)


@contextmanager
def ahead() -> Iterator[None]:
    """Give this thread real-time priority."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


PLACES: dict[str, type[MeasuringActor]] = {"trial": TrialProcess, "actor": MeasuringActor, "actor, ahead": AheadActor}
"""The processes that measure, by name."""

NEIGHBOURS = {"as found": 0, "busy": 2}
"""Number of neighbours by condition of ``latency_trust``."""


def figures(timings: Sequence[Timing], true_ms: float) -> str:
    """Return the cells of a row."""
    off = [timing.ms / true_ms - 1 for timing in timings]
    wrong = [timing for timing, share in zip(timings, off, strict=True) if abs(share) > OFF]
    noticed = sum(not timing.reliable for timing in wrong)
    low, _, high = statistics.quantiles([t.ms for t in timings], n=4, method="inclusive")
    doubted = sum(not timing.reliable for timing in timings)
    median = statistics.median(timing.ms for timing in timings)
    waited = statistics.median(timing.waited or 0.0 for timing in timings)
    load = statistics.median(timing.load or 0.0 for timing in timings)
    return (
        f"{median:.2f} | {(high - low) / median:.0%} | {statistics.median(off):+.0%} | {max(off):+.0%} "
        f"| {len(wrong)} of {len(timings)} | {noticed} of {len(wrong)} | {doubted} | {waited:.2f} | {load:.2f}"
    )


def measured(
    actors: dict[str, Any], measurement: Callable[[], Timing], n_repeats: int, neighbours: list[Any]
) -> dict[tuple[str, str], list[Timing]]:
    """Return the timings by condition and place, taken by turns."""
    found: dict[tuple[str, str], list[Timing]] = {(label, place): [] for label in NEIGHBOURS for place in actors}
    for _ in range(n_repeats):
        for label in NEIGHBOURS:
            with condition(label, neighbours):
                for place, actor in actors.items():
                    found[label, place].append(ray.get(actor.measure.remote(measurement)))
    return found


def may_go_ahead() -> bool:
    """Return True if this user may have real-time priority."""
    with suppress(OSError, AttributeError), ahead():
        return True
    return False


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the bench and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--backends", nargs="+", default=["eager", "onnxruntime"])
    parser.add_argument("--networks", nargs="+", default=[name for name, _, _ in networks()])
    given = parser.parse_args(arguments)
    ours = not ray.is_initialized()
    if ours:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80 * 2**20)
    places = {name: place for name, place in PLACES.items() if place is not AheadActor or may_go_ahead()}
    actors: dict[str, Any] = {name: ray.remote(place).options(num_cpus=0).remote() for name, place in places.items()}
    titles = "network | back end | neighbours | measured in | ms | spread | off by | at most | wrong | noticed"
    print(f"| {titles} | doubted | waited | load |\n|{'---|' * 13}")
    try:
        with two_neighbours() as neighbours:
            for name, network, shape in networks():
                if name in given.networks:
                    for backend in given.backends:
                        for row in rows(actors, network, shape, backend, given.repeats, neighbours):
                            print(f"| {name} | {backend} | {row} |", flush=True)
    finally:
        for actor in actors.values():
            ray.kill(actor)
        if ours:
            ray.shutdown()


def rows(
    actors: dict[str, Any],
    network: nn.Module,
    shape: tuple[int, ...],
    backend: str,
    n_repeats: int,
    neighbours: list[Any],
) -> Iterator[str]:
    """Yield the rows of a network on a back end."""
    form = backend_named(backend).form
    deployment = deploy(network, Arguments((torch.rand(1, *shape),)), form, device=torch.device("cpu"))
    measurement = partial(time_deployment, deployment, LatencySettings(backend=backend))
    found = measured(actors, measurement, n_repeats, neighbours)
    best = "as found", list(actors)[-1]
    true_ms = statistics.median(timing.ms for timing in found[best])
    for (label, place), timings in found.items():
        yield f"{NEIGHBOURS[label]} | {place} | {figures(timings, true_ms)}"


if __name__ == "__main__":
    main()
