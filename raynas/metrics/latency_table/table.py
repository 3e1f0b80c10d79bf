"""LatencyTable: the latencies of the operations of a space's networks, and their sum for a network."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture
from raynas.core.measurement import Fact, Measured, Provenance
from raynas.core.metric import Candidate, Metric
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.metrics.cost import MetaModels
from raynas.metrics.latency_predictor.error import TOLERANCE, PredictionError, prediction_error
from raynas.metrics.latency_predictor.model import MIN_MS
from raynas.metrics.latency_table.calls import Call, calls_of
from raynas.metrics.latency_table.correction import PLAIN, fit_correction
from raynas.metrics.latency_table.parts import Parts
from raynas.metrics.mac_counter import Outcomes

MAX_ESTIMATED = 0.5
"""Largest share of a latency that may be estimated, because the table lacks operations of the network."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A timed operation.

    Args:
        title: its class, and the shapes of its inputs.
        ms: its latency.
        macs: its multiply-adds.
        elements: number of values that it puts out, with those between its parts.
        doubt: the reason why the latency cannot be trusted; "" if it can.
    """

    title: str
    ms: float
    macs: int
    elements: int
    doubt: str = ""


@dataclass(frozen=True, kw_only=True)
class TimedNetwork:
    """A whole network that was measured.

    Args:
        arch: its architecture.
        ms: its latency.
        doubt: the reason why the latency cannot be trusted; "" if it can.
    """

    arch: Architecture
    ms: float
    doubt: str = ""


@dataclass(frozen=True, kw_only=True)
class LatencyTable:
    """Latencies of operations, made by ``raynas.profile_latency`` or read by ``load_table``.

    Args:
        space: name of the space, and the fingerprint of its decisions and sizes.
        measurement: how latency was measured, in words that are equal if the settings are.
        batch_size: number of examples of a run.
        facts: origin of the latencies: back end, its version, device.
        operations: by the key of their call.
        complete: True if none is left to be timed.
        corrected_by: whole networks by which the sums are corrected.
        left_out: whole networks that neither the table nor the correction saw.
        correction: weights of the terms, see ``fit_correction``.
        error: on the networks left out; None as long as there are fewer than two.
        plain_error: that of the sums without the correction.
    """

    space: str
    measurement: str
    batch_size: int = 1
    facts: Mapping[str, Fact] = field(default_factory=dict)
    operations: Mapping[str, Operation] = field(default_factory=dict)
    complete: bool = False
    corrected_by: Sequence[TimedNetwork] = ()
    left_out: Sequence[TimedNetwork] = ()
    correction: tuple[float, ...] = PLAIN
    error: PredictionError | None = None
    plain_error: PredictionError | None = None

    @cached_property
    def _known(self) -> Outcomes:
        """Outcomes of operations without values, which the networks share."""
        return {}

    def __getstate__(self) -> dict[str, object]:
        # They are large, and can be found again.
        return {name: value for name, value in vars(self).items() if name != "_known"}

    @cached_property
    def _estimate(self) -> NDArray[np.float64]:
        """Weights of 1, multiply-adds and values, by which an operation that the table lacks is estimated."""
        from scipy.optimize import nnls

        rows = np.array([[1.0, o.macs / 1e6, o.elements / 1e6] for o in self.operations.values()])
        ms = np.array([o.ms for o in self.operations.values()])
        return np.asarray(nnls(rows / ms[:, None], np.ones(len(ms)))[0])

    def terms(self, network: Call) -> tuple[list[float], float]:
        """Return the terms of a network's latency, and the share of its sum that is estimated."""
        parts = Parts.of(network, self.operations)
        known = sum(self.operations[call.key].ms for call in parts.timed)
        rows = np.array([[1.0, call.macs / 1e6, call.elements / 1e6] for call in parts.missing]).reshape(-1, 3)
        estimated = float((rows @ self._estimate).sum()) if parts.missing else 0.0
        total = known + estimated
        n_operations = len(parts.timed) + len(parts.missing)
        macs = sum(call.macs for call in (*parts.timed, *parts.missing)) / 1e6
        joining = (float(parts.n_joining), parts.joining_elements / 1e6)
        terms = [1.0, total, float(n_operations), *joining, macs, network.weights / 1e6]
        return terms, estimated / total if total else 0.0

    def ms(self, network: Call) -> float:
        """Return the latency of a network, given its call, in ms.

        Raises:
            RaynasError: if the table lacks most of its operations.
        """
        return self._sum(network)[0]

    def _sum(self, network: Call) -> tuple[float, float]:
        if not self.operations:
            raise RaynasError("the table of latencies holds no operation yet")
        terms, estimated = self.terms(network)
        if estimated > MAX_ESTIMATED:
            raise RaynasError(
                f"the table of latencies, of {self.space.split()[0]}, lacks operations that take {estimated:.0%} of "
                "the time of this network: profile this space at this size"
            )
        return max(float(np.dot(terms, self.correction)), MIN_MS), estimated

    def measure(self, candidate: Candidate) -> Measured:
        """Return the latency of a candidate, in ms, with its origin; in doubt if part of it had to be estimated.

        Raises:
            RaynasError: if the table lacks most of its operations, or the network cannot run without values.
        """
        network = calls_of(candidate.model, lambda: candidate.space.example(self.batch_size, "meta"), self._known)
        ms, estimated = self._sum(network)
        doubt = f"operations that take {estimated:.0%} of the time are not in the table" if estimated > 0.01 else ""
        facts: dict[str, Fact] = {**self.facts, "predicted": f"sum of a table of {len(self.operations)} operations"}
        if self.error is not None:
            facts["error"] = str(self.error)
        return Measured(ms, Provenance(facts=facts, doubt=doubt))

    def metric(self, name: str = "latency_ms") -> Metric:
        """Return the latency as a metric that needs no device; its title states its error.

        Args:
            name: of the metric.
        """
        share = f" ({self.error.within:.0%} within {TOLERANCE:.0%})" if self.error else ""
        title = f"{name.replace('_ms', '', 1)}, predicted{share}"
        return Metric(name=name, mode="min", unit="ms", title=title, measure=self.measure)

    def assessed(self, space: SearchSpace) -> "LatencyTable":
        """Return the table with its correction, and with its errors on the networks left out."""
        tracer = Tracer(space, self.batch_size)
        known = [self.terms(tracer(timed.arch))[0] for timed in self.corrected_by]
        weights = fit_correction(known, [timed.ms for timed in self.corrected_by])
        if len(self.left_out) < 2:
            return replace(self, correction=weights, error=None, plain_error=None)
        terms = np.array([self.terms(tracer(timed.arch))[0] for timed in self.left_out])
        ms = [timed.ms for timed in self.left_out]
        return replace(
            self,
            correction=weights,
            error=prediction_error(terms @ weights, ms, "networks left out"),
            plain_error=prediction_error(terms @ PLAIN, ms, "networks left out, plain sums"),
        )

    @property
    def identity(self) -> str:
        """Equal for two tables that predict the same latencies."""
        ms = {key: operation.ms for key, operation in self.operations.items()}
        text = json.dumps([self.batch_size, ms, self.correction], sort_keys=True)
        return f"table {hashlib.sha256(text.encode()).hexdigest()[:16]}"

    @property
    def doubts(self) -> list[str]:
        """The reasons why latencies cannot be trusted, each once."""
        everything: Iterable[Operation | TimedNetwork] = [
            *self.operations.values(),
            *self.corrected_by,
            *self.left_out,
        ]
        return sorted({one.doubt for one in everything if one.doubt})

    def __str__(self) -> str:
        n_doubtful = sum(bool(o.doubt) for o in self.operations.values())
        doubtful = f", {n_doubtful} of them in doubt" if n_doubtful else ""
        lines = [f"latency of {len(self.operations)} operations of {self.space.split()[0]}{doubtful}"]
        if self.error is not None:
            lines.append(f"sums, corrected by {len(self.corrected_by)} whole networks: {self.error}")
        if self.plain_error is not None:
            lines.append(f"sums as they are: {self.plain_error}")
        return "\n".join(lines)


class Tracer:
    """Gives the calls of a space's networks.

    Args:
        space: the space, of architectures alone.
        batch_size: number of examples.
    """

    def __init__(self, space: SearchSpace, batch_size: int) -> None:
        self._space, self._batch_size = space, batch_size
        self._models = MetaModels(space)
        self._known: Outcomes = {}

    def __call__(self, arch: Architecture) -> Call:
        """Return the call of an architecture's network."""
        return calls_of(self._models(arch), lambda: self._space.example(self._batch_size, "meta"), self._known)
