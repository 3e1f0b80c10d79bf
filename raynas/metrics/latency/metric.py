"""latency(): latency as a metric of a search, measured with a back end, on a device."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from raynas.core.inputs import Arguments
from raynas.core.measurement import Measured
from raynas.core.metric import Candidate, Metric, Needs
from raynas.errors import SettingError
from raynas.metrics.latency.backends import backend_named
from raynas.metrics.latency.command import Command, time_by_command
from raynas.metrics.latency.deployment import SUFFIXES, Deployment
from raynas.metrics.latency.devices import measure_on
from raynas.metrics.latency.measure import time_deployment
from raynas.metrics.latency.settings import LatencySettings, OnBackEnd
from raynas.metrics.latency.side_by_side import Part, deploy_all
from raynas.metrics.latency.timing import Timing

NAME = "latency_ms"


def latency(
    backend: str | None = None,
    *,
    device: str | None = None,
    measure: str | None = None,
    batch_size: int = 1,
    n_threads: int | None = None,
    dtype: str = "float32",
    torch_device: str | None = None,
    time_limit: float = 300.0,
    name: str | None = None,
    table: Path | str | None = None,
    predictor: Path | str | None = None,
) -> Metric:
    """Return the metric of the latency of networks on a back end and a device.

    ``raynas.search(..., metrics=[raynas.latency("onnxruntime")], constraints="latency_ms <= 5")`` measures with ONNX
    Runtime wherever latency is asked for. Several devices are several metrics: those of ``latency("onnxruntime",
    device="jetson")`` and ``latency(measure="./on_phone.sh", device="phone")`` are "latency_ms@jetson" and
    "latency_ms@phone".

    Args:
        backend: "eager" (the default), "compile", "export" (AOTInductor), "onnxruntime", "executorch", "openvino" or
            "tensorrt". Those that compile take from seconds to minutes for each architecture.
        device: name of a device of the Ray cluster: a node that was started with the custom resource ``device:NAME``,
            where an actor makes one measurement at a time. None for the machine of the process that asks.
        measure: a measurement of your own: "package.module:function", which gets the path of the exported file and
            returns ms, or an executable, which gets the path as its last argument and prints ms, one number a line. The
            file is that of the back end: model.onnx by default, model.pt2 for "export", model.pte for "executorch".
        batch_size: number of examples of a run; the latency is that of the whole batch.
        n_threads: CPU threads within an operation; None for the ``latency_threads`` of the trials.
        dtype: type of weights and real inputs: "float32", "float16" or "bfloat16".
        torch_device: device of torch, such as "cuda"; by default that of the trials, and "cpu" on a named device.
        time_limit: seconds after which ``measure`` has failed.
        name: of the metric; by default "latency_ms", with a device "latency_ms@DEVICE".
        table: file of a table that ``raynas.profile_latency`` made, whose sums are the latency then, instead of any
            measurement. All that says how to measure is in the table, and is not given here.
        predictor: file that ``save_predictor`` wrote of a ``raynas.LatencyPredictor``, which gives the latency then. A
            back end or a measurement given beside it measures the winner and the Pareto front at the end.

    Raises:
        RaynasError: if the file of the table or the predictor cannot be read.
        SettingError: if a number or a name is none.
        UnknownNameError: if there is no such back end.
    """
    name = name or (f"{NAME}@{device}" if device else NAME)
    if table is not None:
        if predictor is not None:
            raise SettingError("latency comes from a table or from a predictor, not from both")
        return _of_table(table, name, (backend, measure, batch_size, n_threads, dtype, torch_device, time_limit))
    command = None if measure is None else Command(text=measure, seconds=time_limit)
    measurement = LatencyMeasure(
        backend=backend or ("eager" if command is None else "onnxruntime"),
        device=device,
        command=command,
        batch_size=batch_size,
        n_threads=n_threads,
        dtype=dtype,
        torch_device=torch_device,
    )
    measured = _of_measurement(measurement, name)
    if predictor is None:
        return measured
    from raynas.metrics.latency_predictor import read_predictor  # takes half a second

    return read_predictor(predictor).metric(name, final=measured if backend or measure else None)


def _of_table(table: Path | str, name: str, given: tuple[object, ...]) -> Metric:
    """Return the metric of the sums of a table, for which no settings of a measurement may be given."""
    if given != (None, None, 1, None, "float32", None, 300.0):
        raise SettingError("a table of latencies says itself how they were measured: give a name or a device alone")
    from raynas.metrics.latency_table import load_table  # its parts measure by this module

    return load_table(table).metric(name)


def _of_measurement(measurement: "LatencyMeasure", name: str) -> Metric:
    """Return the metric of a measurement, which the best are measured by at the end too."""
    title = name.replace("_ms", "", 1) if name.startswith(NAME) else name
    # A named device, and a command, get a file or a network of the CPU; where it was made is all the same to them.
    needs: Needs = "device" if measurement.device is None and measurement.command is None else "weights"
    return Metric(name=name, mode="min", unit="ms", title=title, measure=measurement, needs=needs, final=True)


@dataclass(frozen=True, kw_only=True)
class LatencyMeasure(OnBackEnd):
    """Measures the latency of a candidate; see ``latency``."""

    device: str | None = None
    command: Command | None = None

    def __post_init__(self) -> None:
        form = backend_named(self.backend).form
        self.settings(1, torch.device("cpu"))
        if self.command and form not in SUFFIXES:
            raise SettingError(
                f"measure gets a file, and back end {self.backend!r} has none: take onnxruntime or export"
            )
        if self.device is not None and not re.fullmatch(r"[\w.-]+", self.device):
            raise SettingError(f"device must be a name of letters, digits, '.', '_' and '-', got {self.device!r}")

    def __call__(self, candidate: Candidate) -> Measured:
        """Return the latency of a network with fresh weights, in ms."""
        inputs = Arguments.of(candidate.example(self.batch_size))
        timing = self.timing(candidate.model, inputs, n_threads=candidate.n_threads, device=candidate.device)
        return timing.measured

    def check(self, *, n_threads: int, device: torch.device) -> None:
        """Refuse what cannot be measured on this machine, before any network is made; others are not asked.

        Args:
            n_threads: CPU threads where none are given.
            device: device of torch where none is given.

        Raises:
            RaynasError: if the back end is not installed, or does not know the device or the type of numbers.
        """
        if self.device is None and self.command is None:
            backend_named(self.backend).check(self.settings(n_threads, device))

    def timing(self, model: nn.Module, inputs: Arguments, *, n_threads: int, device: torch.device) -> Timing:
        """Measure the latency of a network, or of a part of one.

        Args:
            model: the network, which is left as it was.
            inputs: a batch of ``batch_size`` examples.
            n_threads: CPU threads where none are given.
            device: device of torch where none is given.

        Raises:
            RaynasError: if it cannot be measured.
        """
        return next(self.timings([(model, inputs)], n_threads=n_threads, device=device))

    def timings(self, parts: Iterable[Part], *, n_threads: int, device: torch.device) -> Iterator[Timing]:
        """Measure the latencies of networks, one after the other; they may be exported together, which is faster.

        Args:
            parts: the networks, which are left as they were, each with its inputs.
            n_threads: see ``timing``, as for ``device``.
            device: device of torch where none is given.

        Raises:
            RaynasError: if one cannot be measured.
        """
        settings = self.settings(n_threads, device)
        backend = backend_named(self.backend)
        self.check(n_threads=n_threads, device=device)
        here = self.device is None and self.command is None
        # A network that travels has its tensors on the CPU: the other machine puts them where it computes.
        target = settings.torch_device if here else torch.device("cpu")
        for deployment in deploy_all(parts, backend.form, device=target, dtype=settings.torch_dtype):
            measurement = partial(carry_out, deployment, settings, self.command, self.device or "")
            if self.device is None:
                yield measurement()
            else:
                yield measure_on(self.device, measurement, gpu=settings.torch_device.type == "cuda")


def carry_out(deployment: Deployment, settings: LatencySettings, command: Command | None, device: str) -> Timing:
    """Make a measurement on this machine, by a command if there is one.

    Args:
        deployment: the network.
        settings: of the measurement.
        command: of the user's; None for a back end.
        device: name of the device; "" if it has none.
    """
    if command is not None:
        return time_by_command(deployment, command, settings, device)
    return time_deployment(deployment, settings)
