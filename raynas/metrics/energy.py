"""energy(): energy of a run of a network as a metric of a search, by the meters of the machine."""

import time
from dataclasses import dataclass

import torch

from raynas.core.inputs import Arguments
from raynas.core.measurement import Fact, Measured, Provenance
from raynas.core.metric import Candidate, Metric
from raynas.errors import RaynasError, SettingError
from raynas.metrics.energy_meters import Meter, meter_of
from raynas.metrics.latency.backends import backend_named
from raynas.metrics.latency.deployment import deploy
from raynas.metrics.latency.machine import CpuWatch, device_name
from raynas.metrics.latency.measure import ready
from raynas.metrics.latency.sample import Run, wait_for, warm_up
from raynas.metrics.latency.settings import LatencySettings, OnBackEnd
from raynas.metrics.latency.trust import MAX_HALVES
from raynas.validate import positive

MAX_SECONDS = 120.0
"""Longest duration of the runs: the counter of a processor of 500 W starts again after about two minutes, and each half
of the runs must see it start again once at most."""

MAX_OTHERS = 0.1
"""Largest share of the CPU time that other programs may have: by about as much the energy is too large."""


def energy(
    backend: str = "eager",
    *,
    batch_size: int = 1,
    n_threads: int | None = None,
    dtype: str = "float32",
    torch_device: str | None = None,
    seconds: float = 2.0,
    name: str = "energy_mj",
) -> Metric:
    """Return the metric of the energy of a run of networks, in mJ.

    It is all that the processors and their memory use (RAPL), or the GPU (NVML), while the network runs repeatedly,
    divided by the number of runs. The power of the idle machine is part of it, and is stated in the provenance. Most
    virtual machines do not tell it: the metric is refused there, and a ``Metric`` of your own can take its place.

    Args:
        backend: see ``raynas.latency``, as for the following ones.
        batch_size: number of examples of a run; the energy is that of the whole batch.
        n_threads: CPU threads within an operation; None for the ``latency_threads`` of the trials.
        dtype: type of weights and real inputs: "float32", "float16" or "bfloat16".
        torch_device: device of torch, such as "cuda"; by default that of the trials.
        seconds: duration of the runs, ``MAX_SECONDS`` at most. Counters of GPUs advance only every 20 to 100 ms.
        name: of the metric.

    Raises:
        SettingError: if a number or a name is none.
        UnknownNameError: if there is no such back end.
    """
    measurement = EnergyMeasure(
        backend=backend,
        batch_size=batch_size,
        n_threads=n_threads,
        dtype=dtype,
        torch_device=torch_device,
        seconds=seconds,
    )
    title = name.replace("_mj", "", 1)
    return Metric(name=name, mode="min", unit="mJ", title=title, measure=measurement, needs="device")


@dataclass(frozen=True, kw_only=True)
class EnergyMeasure(OnBackEnd):
    """Measures the energy of a candidate; see ``energy``."""

    seconds: float = 2.0

    def __post_init__(self) -> None:
        backend_named(self.backend)
        positive("seconds", self.seconds)
        if self.seconds > MAX_SECONDS:
            raise SettingError(f"seconds must be at most {MAX_SECONDS:g}, got {self.seconds:g}")
        self.settings(1, torch.device("cpu"))

    def __call__(self, candidate: Candidate) -> Measured:
        """Return the energy of a run of a network with fresh weights, in mJ."""
        settings = self.settings(candidate.n_threads, candidate.device)
        device, backend = settings.torch_device, backend_named(self.backend)
        meter = meter_of(device)
        backend.check(settings)
        inputs = Arguments.of(candidate.example(self.batch_size))
        deployment = deploy(candidate.model, inputs, backend.form, device=device, dtype=settings.torch_dtype)
        with ready(deployment, settings) as run:
            warm_up(run, settings)
            idle = _idle_watts(meter, self.seconds / 4)
            for _ in range(settings.max_attempts):
                measured = _measured(run, meter, settings, self.seconds, {"version": backend.version, **idle})
                if measured.provenance.reliable:
                    break
        return measured


def _idle_watts(meter: Meter, seconds: float) -> dict[str, Fact]:
    before, start = meter.joules(), time.perf_counter()
    time.sleep(seconds)
    return {"idle_watts": (meter.joules() - before) / (time.perf_counter() - start)}


def _measured(run: Run, meter: Meter, settings: LatencySettings, seconds: float, facts: dict[str, Fact]) -> Measured:
    """Return the energy of a run in mJ, and whether the halves of the time agree and others left the machine alone."""
    watch = CpuWatch()
    halves = [_half(run, meter, settings.torch_device, seconds / 2) for _ in range(2)]
    took, load = watch.seconds, watch.load
    n_runs, joules = (sum(numbers) for numbers in zip(*halves, strict=True))
    per_run = 1000 * joules / n_runs
    if per_run <= 0:
        raise RaynasError(f"the counter of {meter.name} did not move in {took:.2g} s; give more seconds")
    means = [1000 * used / n for n, used in halves]
    difference = (max(means) - min(means)) / per_run
    others = load / (load + settings.n_threads) if load and settings.torch_device.type == "cpu" else 0.0
    doubts = [
        f"two halves of the runs differ by {difference:.0%}" if difference > MAX_HALVES else "",
        f"the machine is busy: {others:.0%} of the CPU time was used by others" if others > MAX_OTHERS else "",
    ]
    found: dict[str, Fact | None] = {
        "backend": settings.backend,
        "meter": meter.name,
        "device": device_name(settings.torch_device),
        "n_threads": settings.n_threads,
        "batch_size": settings.batch_size,
        "dtype": settings.dtype,
        "n_runs": int(n_runs),
        "watts": joules / took,
        "halves": difference,
        "load": load,
    }
    return Measured(per_run, Provenance.of({**found, **facts}, "; ".join(filter(None, doubts))))


def _half(run: Run, meter: Meter, device: torch.device, seconds: float) -> tuple[int, float]:
    """Run for some time; return the number of runs and the energy in J."""
    wait_for(device)
    n_runs, before, end = 0, meter.joules(), time.perf_counter() + seconds
    while not n_runs or time.perf_counter() < end:
        run()
        wait_for(device)
        n_runs += 1
    return n_runs, meter.joules() - before
