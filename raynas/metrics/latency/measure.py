"""Measurement of latency: runs timed in turns with a reference network, repeated if they cannot be trusted."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from operator import itemgetter

import torch
from torch import nn

from raynas.core.inputs import Arguments, InputSpec, as_spec, make_example
from raynas.core.measurement import Measured
from raynas.metrics.latency.backends import backend_named
from raynas.metrics.latency.deployment import Deployment, deploy
from raynas.metrics.latency.machine import device_name, one_at_a_time
from raynas.metrics.latency.reference import Reference
from raynas.metrics.latency.sample import Run, Sample, Timer, by_clock, by_events, take_sample, warm_up
from raynas.metrics.latency.settings import LatencySettings
from raynas.metrics.latency.timing import Timing
from raynas.metrics.latency.trust import MAX_WAITED, doubts_of
from raynas.nn.modes import evaluating
from raynas.threads import limited_threads

PAUSE_SECONDS = 0.1
"""Time between two measurements of a network, in which a short disturbance may end."""


_TIMERS: Mapping[Timer, str] = {by_clock: "clock", by_events: "CUDA events"}


def measure_latency(
    model: nn.Module,
    inputs: InputSpec | Sequence[int],
    *,
    backend: str = "eager",
    batch_size: int = 1,
    n_runs: int = 100,
    n_warmup: int = 5,
    n_threads: int = 1,
    dtype: str = "float32",
    device: str | torch.device = "cpu",
    max_seconds: float = 0.2,
    max_attempts: int = 3,
) -> Measured:
    """Measure how long a forward pass takes, in milliseconds.

    What is stated is the median over runs in eval mode, without gradients, after a warm-up that does not count, in the
    memory format that the model's weights have. The model is left as it was, and so is the number of threads.

    Args:
        model: the network; for a supernet, extract a member first.
        inputs: what it takes: the shape of one example, without the batch, for one tensor of real numbers; else a
            description or examples, see ``InputSpec``.
        backend: see ``LatencySettings``, as for the others below.
        batch_size: number of examples of a run; the time is that of the whole batch.
        n_runs: maximum number of timed runs.
        n_warmup: number of runs before them.
        n_threads: CPU threads within an operation.
        dtype: type of weights and real inputs; a copy of the model is converted if need be.
        device: where to run; a copy of the model is moved there if it is on another one.
        max_seconds: when to stop early, for the warm-up and for the timed runs each; ``MIN_RUNS`` are always timed.
        max_attempts: number of measurements until one can be trusted; the last resort is the least doubtful.

    Returns:
        Median time of a run in ms, a float that remembers how it was measured: ``.provenance.doubt`` says why it cannot
        be trusted, if so.

    Raises:
        RaynasError: if the back end is not installed, or cannot run the network.
        SettingError: if a number is out of range, or the back end does not know the device or the type.
    """
    settings = LatencySettings(
        backend=backend,
        batch_size=batch_size,
        n_threads=n_threads,
        dtype=dtype,
        device=str(device),
        n_runs=n_runs,
        n_warmup=n_warmup,
        max_seconds=max_seconds,
        max_attempts=max_attempts,
    )
    return time_network(model, Arguments.of(make_example(as_spec(inputs), batch_size)), settings).measured


def time_network(model: nn.Module, inputs: Arguments, settings: LatencySettings) -> Timing:
    """Measure the latency of a network.

    Args:
        model: the network, which is left as it was.
        inputs: a batch of ``settings.batch_size`` examples.
        settings: of the measurement.

    Raises:
        RaynasError: if the back end is not installed, or cannot run the network.
    """
    backend = backend_named(settings.backend)
    backend.check(settings)
    device, dtype = settings.torch_device, settings.torch_dtype
    return time_deployment(deploy(model, inputs, backend.form, device=device, dtype=dtype), settings)


def time_deployment(deployment: Deployment, settings: LatencySettings) -> Timing:
    """Measure the latency of a network that has the form of its back end already, see ``deploy``.

    Raises:
        RaynasError: if the back end is not installed, or cannot run the network.
    """
    backend = backend_named(settings.backend)
    backend.check(settings)
    reference = Reference(settings.torch_device, settings.n_threads)
    is_seen = backend.runs_in_torch and settings.torch_device.type == "cuda"
    with ready(deployment, settings) as run:
        return _trusted(run, reference, settings, backend.version, by_events if is_seen else by_clock)


@contextmanager
def ready(deployment: Deployment, settings: LatencySettings) -> Iterator[Run]:
    """Give a function that runs a network, while no other process of this user measures on this machine.

    Args:
        deployment: the network, in the form of its back end.
        settings: of the measurement; the back end has checked them.
    """
    backend = backend_named(settings.backend)
    module: nn.Module = nn.Identity()
    if deployment.form == "module":  # it may come from another machine, on the CPU
        deployment = deploy(
            deployment.module, deployment.inputs, "module", device=settings.torch_device, dtype=settings.torch_dtype
        )
        module = deployment.module
    with (
        evaluating(module),
        limited_threads(settings.n_threads),
        torch.inference_mode(),
        backend.prepared(deployment, settings) as run,
        one_at_a_time(),
    ):
        yield run


def _trusted(run: Run, reference: Reference, settings: LatencySettings, version: str, timer: Timer) -> Timing:
    """Measure until there is nothing to doubt, ``max_attempts`` times at most; return the least doubtful."""
    for warmed in (run, reference.run):
        warm_up(warmed, settings)
    found = list[tuple[float, Timing]]()
    for _ in range(settings.max_attempts):
        if found:
            time.sleep(PAUSE_SECONDS)
        sample = take_sample(run, reference.run, settings, timer)
        slowdown = reference.slowdown(sample.reference_ms, counts=(sample.waited or 0.0) <= MAX_WAITED)
        doubts = doubts_of(sample, slowdown)
        doubt = "; ".join(doubt.reason for doubt in doubts)
        found.append(
            (
                max((doubt.excess for doubt in doubts), default=0),
                replace(_timing(sample, settings, version, slowdown, doubt), timer=_TIMERS[timer]),
            )
        )
        if not doubts:
            break
    _, best = min(found, key=itemgetter(0))
    return replace(best, attempts=len(found))


def _timing(sample: Sample, settings: LatencySettings, version: str, slowdown: float, doubt: str) -> Timing:
    return Timing(
        ms=sample.ms,
        spread=sample.spread,
        backend=settings.backend,
        version=version,
        device=device_name(settings.torch_device),
        n_threads=settings.n_threads,
        batch_size=settings.batch_size,
        dtype=settings.dtype,
        n_runs=len(sample.times),
        halves=sample.halves,
        waited=sample.waited,
        load=sample.load,
        reference_ms=sample.reference_ms,
        slowdown=slowdown,
        doubt=doubt,
    )
