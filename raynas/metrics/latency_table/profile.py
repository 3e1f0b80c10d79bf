"""profile_latency(): time the operations of a space's networks one by one, and check their sums on whole networks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.inputs import Arguments
from raynas.core.metric import Metric
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError, SettingError
from raynas.metrics.latency import LatencyMeasure, Timing, latency
from raynas.metrics.latency_table.calls import Call
from raynas.metrics.latency_table.parts import Parts, to_be_timed, whole_kinds
from raynas.metrics.latency_table.storing import load_table, save_table
from raynas.metrics.latency_table.table import LatencyTable, Operation, TimedNetwork, Tracer
from raynas.metrics.zero_cost.by_name import fresh_network
from raynas.validate import require_whole

Report = Callable[[str, int, int], None]
"""Shows progress: what is being done, the number of those done, and of all."""

FIRST_LOOK = 64
"""Number of random networks that are looked at first; twice as many each time, until nearly nothing is new."""

MAX_LOOKED_AT = 512

MAX_MISSING = 0.005
"""Share of the parts of new networks that may be missing in the table."""


def profile_latency(
    space: SearchSpace,
    metric: Metric | None = None,
    *,
    path: Path | str,
    n_corrected: int = 40,
    n_left_out: int = 20,
    n_threads: int = 1,
    device: str = "cpu",
    seed: int = 0,
    report: Report | None = None,
) -> LatencyTable:
    """Time every operation, at every shape, that networks of a space have; interrupted, a repetition continues.

    An operation is a module that recurs: a block, or a convolution with its normalisation. Operations are equal if
    they compute the same on inputs of the same shapes. Which ones there are is found in random networks, and in some
    that show every option, until further networks bring nearly nothing new. A network's latency is their sum, corrected
    by some whole networks (see ``fit_correction``); its error is found on others.

    Args:
        space: the space of the networks.
        metric: how latency is measured, see ``raynas.latency``; None for eager PyTorch.
        path: file of the table, written after each measurement.
        n_corrected: number of whole networks that the correction learns from.
        n_left_out: number of whole networks that the error is found on.
        n_threads: CPU threads, where the metric has no number.
        device: device of torch, where the metric has none.
        seed: of the random networks.
        report: called with each step.

    Raises:
        RaynasError: if the file is of another space or measurement, or a network cannot be measured.
        SettingError: if a number is too small, or the metric is none of ``raynas.latency``.
    """
    require_whole("n_corrected", n_corrected, 0)
    require_whole("n_left_out", n_left_out, 0)
    require_whole("n_threads", n_threads, 1)
    measure = (metric or latency()).measure
    if not isinstance(measure, LatencyMeasure):
        raise SettingError("profile_latency measures with a metric of raynas.latency, such as latency('onnxruntime')")
    measure.check(n_threads=n_threads, device=torch.device(device))
    profile = _Profile(
        space=space.architecture_space,
        measure=measure,
        path=Path(path),
        n_threads=n_threads,
        device=torch.device(device),
        seed=seed,
        report=report or _silent,
    )
    profile.time_operations()
    profile.time_networks(n_corrected, n_left_out)
    return profile.finish()


def _silent(what: str, done: int, total: int) -> None:
    return


@dataclass
class _Profile:
    """A table that is being made."""

    space: SearchSpace
    measure: LatencyMeasure
    path: Path
    n_threads: int
    device: torch.device
    seed: int
    report: Report
    table: LatencyTable = field(init=False)

    def __post_init__(self) -> None:
        self.table = begun(self.path, self.space, self.measure, n_threads=self.n_threads, device=self.device)

    def time_operations(self) -> None:
        """Time the operations that the table does not hold yet."""
        if self.table.complete:
            return
        found = self.found
        self.report("operations", len(self.table.operations), len(found))
        new = {key: where for key, where in found.items() if key not in self.table.operations}
        calls = [call for calls in by_network(new).values() for call in calls]
        timings = self.measure.timings(self._modules(new), n_threads=self.n_threads, device=self.device)
        for call, timing in zip(calls, timings, strict=True):
            operation = Operation(
                title=title_of(call), ms=timing.ms, macs=call.macs, elements=call.elements, doubt=timing.doubt
            )
            self._keep(timing, operations={**self.table.operations, call.key: operation})
            self.report("operations", len(self.table.operations), len(found))
        self._keep(None, complete=True)

    def _modules(self, found: Mapping[str, tuple[Architecture, Call]]) -> Iterator[tuple[nn.Module, Arguments]]:
        """Yield the modules of operations, with inputs."""
        for arch, calls in by_network(found).items():
            network = fresh_network(self.space, arch, self.seed).eval()
            yield from ((network.get_submodule(call.path), _inputs(call)) for call in calls)

    def time_networks(self, n_corrected: int, n_left_out: int) -> None:
        """Measure whole networks, different ones to correct the sums and to find their error."""
        correcting, others = whole_networks(self.space, n_corrected, n_left_out, self.seed)
        corrected_by = self._timed_networks(correcting, "whole networks", "corrected_by")
        self._keep(None, corrected_by=corrected_by)
        known = [n.arch for n in self.table.left_out]  # those of an earlier run that asked for more are kept
        left_out = [arch for arch in dict.fromkeys([*others, *known]) if arch not in correcting]
        self._keep(None, left_out=self._timed_networks(left_out, "networks left out", "left_out"))

    def _timed_networks(self, archs: Sequence[Architecture], what: str, name: str) -> list[TimedNetwork]:
        """Measure those of some networks that were not; each is written to a field of the table at once."""
        known = {network.arch: network for network in (*self.table.corrected_by, *self.table.left_out)}
        for i, arch in enumerate(archs, 1):
            if arch not in known:
                known[arch] = self._time_network(arch)
                self._keep(None, **{name: [*getattr(self.table, name), known[arch]]})
            self.report(what, i, len(archs))
        return [known[arch] for arch in archs]

    def finish(self) -> LatencyTable:
        """Fit the correction, find the errors, and write the table."""
        self.table = self.table.assessed(self.space)
        save_table(self.table, self.path)
        return self.table

    @cached_property
    def found(self) -> Mapping[str, tuple[Architecture, Call]]:
        """The operations of the space's networks by key, each with a network that has it."""
        tracer = Tracer(self.space, self.measure.batch_size)
        shown = {self.space.canonical(arch): None for arch in self.space.showcase(0, self.seed)}
        calls: dict[Architecture, Call] = {}
        for n in _looks():
            drawn = list(self._random_networks(n))
            wanted = dict.fromkeys([*shown, *drawn])
            for arch in [arch for arch in wanted if arch not in calls]:
                calls[arch] = tracer(arch)
                self.report("networks looked at", len(calls), len(wanted))
            networks = [calls[arch] for arch in drawn]
            are_all = len(drawn) < n
            kinds = whole_kinds(networks, are_all=are_all)
            if are_all or _share_missing(networks, kinds) <= MAX_MISSING:
                break
        return {call.key: (arch, call) for arch in reversed(calls) for call in to_be_timed(calls[arch], kinds)}

    def _random_networks(self, n: int) -> Iterator[Architecture]:
        return _different(self.space, n, np.random.default_rng(self.seed))

    def _time_network(self, arch: Architecture) -> TimedNetwork:
        network = fresh_network(self.space, arch, self.seed).eval()
        timing = self._time(network, Arguments.of(self.space.example(self.measure.batch_size, "cpu")))
        return TimedNetwork(arch=arch, ms=timing.ms, doubt=timing.doubt)

    def _time(self, module: nn.Module, inputs: Arguments) -> Timing:
        return self.measure.timing(module, inputs, n_threads=self.n_threads, device=self.device)

    def _keep(self, timing: Timing | None, **fields: object) -> None:
        facts = {} if timing is None else {"facts": about(timing)}
        self.table = replace(self.table, **facts, **fields)  # type: ignore[arg-type]
        save_table(self.table, self.path)


def begun(
    path: Path, space: SearchSpace, measure: LatencyMeasure, *, n_threads: int, device: torch.device
) -> LatencyTable:
    """Return the table of a file, or an empty one if there is none.

    Args:
        path: of the file.
        space: the space of the networks.
        measure: how latency is measured.
        n_threads: CPU threads, where the measurement has no number.
        device: device of torch, where the measurement has none.

    Raises:
        RaynasError: if the file is of another space or measurement.
    """
    settings = f"{measure}, n_threads={n_threads}, device={device}"
    named = f"{space.name} {space.fingerprint}"
    if not path.exists():
        return LatencyTable(space=named, measurement=settings, batch_size=measure.batch_size)
    found = load_table(path)
    for what, before, now in (("space", found.space, named), ("measurement", found.measurement, settings)):
        if before != now:
            raise RaynasError(f"{path} is of another {what} ({before}, now {now}): write to another file")
    return found


def whole_networks(
    space: SearchSpace, n_corrected: int, n_left_out: int, seed: int = 0
) -> tuple[Sequence[Architecture], Sequence[Architecture]]:
    """Return random networks that correct sums, and others to find their error on.

    They are other ones than those that the operations were found in where there are enough. Of a small space the
    numbers are smaller, in their ratio.
    """
    n = n_corrected + n_left_out
    archs = [*_different(space, n, np.random.default_rng([seed, 1]))]
    if len(archs) < n:
        n_corrected = len(archs) * n_corrected // n
    return archs[:n_corrected], archs[n_corrected:]


def about(timing: Timing) -> dict[str, str | int]:
    """Return the facts that the measurements of a table share."""
    names = ("backend", "version", "device", "n_threads", "batch_size", "dtype")
    return {name: cast(str | int, getattr(timing, name)) for name in names}


def title_of(call: Call) -> str:
    """Return the class and the shapes of the inputs of a call."""
    shapes = ", ".join("x".join(map(str, shape)) for shape, _ in call.inputs or ())
    return f"{call.kind.partition('(')[0].rpartition('.')[2]} {shapes}"


def by_network(found: Mapping[str, tuple[Architecture, Call]]) -> Mapping[Architecture, Sequence[Call]]:
    """Return operations by the network that they are taken from, so that each network is built once."""
    calls: dict[Architecture, list[Call]] = {}
    for arch, call in found.values():
        calls.setdefault(arch, []).append(call)
    return calls


def _inputs(call: Call) -> Arguments:
    """Return inputs of the shapes of a call; whole numbers are 0, which is in the range of any table."""
    made = [
        torch.randn(shape).to(dtype) if dtype.is_floating_point else torch.zeros(shape, dtype=dtype)
        for shape, dtype in call.inputs or ()
    ]
    return Arguments(tuple(made))


def _looks() -> Iterator[int]:
    n = FIRST_LOOK
    while n <= MAX_LOOKED_AT:
        yield n
        n *= 2


def _different(space: SearchSpace, n: int, rng: np.random.Generator) -> Iterator[Architecture]:
    """Yield up to ``n`` different members, fewer where a space has fewer."""
    seen: set[Architecture] = set()
    for _ in range(20 * n):
        arch = space.canonical(space.sample(rng))
        if arch not in seen:
            seen.add(arch)
            yield arch
        if len(seen) == min(n, space.size):
            return


def _share_missing(networks: Sequence[Call], kinds: frozenset[str]) -> float:
    """Return the share of parts of the second half of some networks that the first half lacks."""
    half = len(networks) // 2
    keys = {call.key for network in networks[:half] for call in to_be_timed(network, kinds)}
    parts = [Parts.of(network, keys) for network in networks[half:]]
    missing = sum(len(part.missing) for part in parts)
    return missing / max(1, missing + sum(len(part.timed) for part in parts))
