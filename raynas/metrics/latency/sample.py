"""Sample: the times of a network and of the reference network, run in turns."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from raynas.metrics.latency.machine import CpuWatch
from raynas.metrics.latency.settings import LatencySettings

MIN_RUNS = 5
"""Minimum number of timed runs, even where one takes longer than the whole budget: a median needs a few."""

N_BLOCKS = 10
"""Number of blocks that the runs are divided into; before each of them the reference network runs."""

REFERENCE_WARMUP = 10
"""Number of runs of the reference network before the timed ones: after a network that emptied the caches it takes 1.6
times its best time at first, and within 4 % of it after ten runs."""

REFERENCE_RUNS = 3
"""Number of timed runs of the reference network before each block."""

Run = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The times of some runs.

    Args:
        blocks: times of the runs of each block, in s.
        reference: times of the reference network, in s.
        waited: see ``Timing``.
        load: see ``Timing``.
    """

    blocks: list[list[float]]
    reference: list[float]
    waited: float | None
    load: float | None

    @property
    def times(self) -> list[float]:
        """All times of runs, in s."""
        return [seconds for block in self.blocks for seconds in block]

    @property
    def ms(self) -> float:
        """Median time of a run, in ms."""
        return 1000 * statistics.median(self.times)

    @property
    def spread(self) -> float:
        """Interquartile range of the times as a share of their median."""
        return spread_of(self.times)

    @property
    def halves(self) -> float:
        """Difference between the medians of every other block and of those between, as a share of the median."""
        halves = [[seconds for block in self.blocks[i::2] for seconds in block] for i in (0, 1)]
        medians = [1000 * statistics.median(half) for half in halves if half]
        return (max(medians) - min(medians)) / self.ms

    @property
    def reference_ms(self) -> float:
        """Median time of the reference network, in ms."""
        return 1000 * statistics.median(self.reference)


def spread_of(times: list[float]) -> float:
    """Return the interquartile range of times as a share of their median; 0 for a single one."""
    if len(times) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(times, n=4, method="inclusive")
    return (high - low) / middle


def warm_up(run: Run, settings: LatencySettings) -> None:
    """Run ``n_warmup`` times, or once if that takes longer than ``max_seconds``."""
    start = time.perf_counter()
    for _ in range(settings.n_warmup):
        by_clock(run, settings.torch_device)
        if time.perf_counter() - start > settings.max_seconds:
            break


Timer = Callable[[Run, torch.device], float]
"""Returns how long a run takes, in s."""


def take_sample(run: Run, reference: Run, settings: LatencySettings, timer: Timer | None = None) -> Sample:
    """Time runs of a network, and of the reference network in turns with them; by default by the clock of the CPU."""
    timed = by_clock if timer is None else timer
    device, blocks, reference_times = settings.torch_device, list[list[float]](), list[float]()
    watch, n_done, used = CpuWatch(), 0, 0.0
    per_block, block_seconds = -(-settings.n_runs // N_BLOCKS), settings.max_seconds / N_BLOCKS
    least = min(settings.n_runs, MIN_RUNS)
    while n_done < settings.n_runs and (n_done < least or used < settings.max_seconds):
        for _ in range(REFERENCE_WARMUP):  # fills the caches that the network has emptied
            reference()
        reference_times += [timed(reference, device) for _ in range(REFERENCE_RUNS)]
        block = [timed(run, device)]
        while len(block) < min(per_block, settings.n_runs - n_done) and sum(block) < block_seconds:
            block.append(timed(run, device))
        blocks.append(block)
        n_done, used = n_done + len(block), used + sum(block)
    waited = watch.waited(settings.n_threads)
    return Sample(blocks=blocks, reference=reference_times, waited=waited, load=watch.load)


def by_events(run: Run, device: torch.device) -> float:
    """Time a run by the clock of a GPU of CUDA, from its first operation in torch's stream to its last, in s."""
    wait_for(device)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1000


def by_clock(run: Run, device: torch.device) -> float:
    """Time a run by the clock of the CPU, until the device is idle, in s."""
    wait_for(device)
    start = time.perf_counter()
    run()
    wait_for(device)
    return time.perf_counter() - start


def wait_for(device: torch.device) -> None:
    """Wait until the device is idle: a GPU computes behind the caller's back, and its time would be the launch's."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type in ("mps", "xpu"):
        getattr(torch, device.type).synchronize()
