"""Quantizer: makes networks of given precisions, calibrated on given batches, and measures them."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from raynas.core.inputs import Arguments, Inputs
from raynas.core.metric import Candidate, Metric
from raynas.errors import SettingError
from raynas.metrics.latency import LatencySettings, time_deployment
from raynas.nn.modes import evaluating
from raynas.precision.float_file import CALIBRATIONS, FloatFile
from raynas.precision.layers import RUNTIMES
from raynas.precision.mixed import MixedNetwork
from raynas.precision.network import RuntimeNetwork, structure_of
from raynas.precision.quantized import quantized
from raynas.precision.space import PrecisionSpace
from raynas.validate import require_whole

MAX_KNOWN = 4
"""Number of networks whose files and ranges are remembered."""

Quantized = RuntimeNetwork | MixedNetwork
"""A network of several precisions, with ``size_mb``, ``precisions`` and ``deployment``."""


@dataclass
class _Known:
    """A network in float32: its file, the structure of its outputs, and the ranges once they are known."""

    file: FloatFile
    outputs: Any
    ranges: Any = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantizer:
    """Makes networks of given precisions by quantization after training.

    Args:
        batches: inputs of the network, on which ranges of activations are found; a few dozen to a few hundred examples.
        calibration: the way to find ranges: "minmax" (the extremes), "percentile" (without the 0.001 % of the numbers
            that are farthest out), or "entropy" (the range that loses the least information).
        n_threads: CPU threads within an operation, of calls and of measurements.
        latency_backend: back end that latency is measured with where networks are those of PyTorch: "eager" or
            "compile". Files are measured with ONNX Runtime.

    Raises:
        SettingError: if there is no batch, or a setting has no such value.
    """

    batches: Sequence[Inputs] = field(repr=False)
    calibration: str = "minmax"
    n_threads: int = 1
    latency_backend: str = "eager"
    _known: "OrderedDict[str, _Known]" = field(default_factory=OrderedDict, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "batches", tuple(self.batches))
        if not self.batches or not all(Arguments.of(batch).n_examples for batch in self.batches):
            raise SettingError("batches must be inputs of the network, at least one batch of one example")
        for name, value, known in (
            ("calibration", self.calibration, CALIBRATIONS),
            ("latency_backend", self.latency_backend, ("eager", "compile")),
        ):
            if value not in known:
                raise SettingError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        require_whole("n_threads", self.n_threads, 1)

    def network(self, model: nn.Module, precisions: Mapping[str, str], runtime: str = "onnxruntime") -> Quantized:
        """Return a network with layers of given precisions.

        Args:
            model: the network in float32, with its weights, on the CPU; it is left as it was.
            precisions: of layers, by path; those not named stay float32.
            runtime: "onnxruntime" or "eager"; see ``RUNTIMES``.

        Raises:
            RaynasError: if a package is missing, or the network cannot be exported or calibrated.
        """
        if runtime not in RUNTIMES:
            raise SettingError(f"runtime must be one of {', '.join(RUNTIMES)}, got {runtime!r}")
        if runtime == "eager":
            return MixedNetwork(model, precisions)
        known = self._file_of(model)
        if known.ranges is None and "int8" in precisions.values():
            known.ranges = known.file.ranges(map(Arguments.of, self.batches), self.calibration)
        file = quantized(known.file, precisions, known.ranges)
        return RuntimeNetwork(file, precisions, known.outputs, n_threads=self.n_threads)

    def of(self, space: PrecisionSpace, point: Mapping[str, Any], model: nn.Module | None = None) -> Quantized:
        """Return the network of a point of a space.

        Args:
            space: the space.
            point: the point, or a config of Tune.
            model: the point's network after training; None for the one that the space builds, where it has weights.

        Raises:
            RaynasError: if the network cannot be quantized.
        """
        arch = space.point(point)
        network = space.build(arch) if model is None else model
        return self.network(network, space.precisions(arch, network), space.runtime)

    def metrics(self) -> list[Metric]:
        """Return the latency and the size of the networks of a ``PrecisionSpace``, as metrics of a search.

        ``latency_ms`` is measured on the runtime that computes the network, for one example; ``size_mb`` is the size of
        the file. Both replace those of the same names, which are measured on the network in float32.
        """
        latency = Metric(
            name="latency_ms", mode="min", unit="ms", title="latency", measure=_Latency(self), needs="weights"
        )
        size = Metric(name="size_mb", mode="min", unit="MB", title="size", measure=_Size(self), needs="weights")
        return [latency, size]

    def _file_of(self, model: nn.Module) -> _Known:
        key = _digest(model)
        if key not in self._known:
            example = Arguments.of(self.batches[0])
            with evaluating(model):
                outputs = structure_of(example.call(model))
            self._known[key] = _Known(FloatFile.of(model, example), outputs)
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": OrderedDict()}  # files need not travel

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


@dataclass(frozen=True)
class _OfCandidate:
    """Measures the network of a candidate in its precisions."""

    quantizer: Quantizer

    def _made(self, candidate: Candidate) -> Quantized:
        """Return the network.

        Raises:
            SettingError: if the space has no precisions.
        """
        if not isinstance(candidate.space, PrecisionSpace):
            raise SettingError(f"{candidate.space.name} decides no precisions: search PrecisionSpace(space)")
        return self.quantizer.of(candidate.space, candidate.arch, candidate.model)


class _Latency(_OfCandidate):
    """Measures the latency for one example, in ms."""

    def __call__(self, candidate: Candidate) -> float:
        network = self._made(candidate)
        backend = "onnxruntime" if isinstance(network, RuntimeNetwork) else self.quantizer.latency_backend
        settings = LatencySettings(backend=backend, n_threads=self.quantizer.n_threads)
        return time_deployment(network.deployment(Arguments.of(candidate.example(1))), settings).measured


class _Size(_OfCandidate):
    """Measures the size of the file or of the weights, in MB."""

    def __call__(self, candidate: Candidate) -> float:
        return self._made(candidate).size_mb


def _digest(model: nn.Module) -> str:
    """Return a key that two networks of one structure and the same weights share."""
    found = hashlib.sha256(repr(model).encode())
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            found.update(name.encode())
            found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
