"""LatencyPredictor: latencies of a space's networks on a device, predicted, with the error that is to be expected."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture
from raynas.core.metric import Candidate, Measure, Metric
from raynas.core.space import SearchSpace
from raynas.errors import SettingError, UnknownNameError
from raynas.metrics.latency_predictor.described import Described, Describer, described_each
from raynas.metrics.latency_predictor.error import TOLERANCE, PredictionError, prediction_error
from raynas.metrics.latency_predictor.gaussian_process import GaussianProcessModel
from raynas.metrics.latency_predictor.graph import GraphModel
from raynas.metrics.latency_predictor.linear import LinearModel
from raynas.metrics.latency_predictor.measured import DeviceLatencies
from raynas.metrics.latency_predictor.meta_learning import MetaModel, MetaTransfer
from raynas.metrics.latency_predictor.mixture import MixtureModel, MixtureTransfer
from raynas.metrics.latency_predictor.model import DeviceModel, LatencyModel
from raynas.metrics.latency_predictor.multi_device import EmbeddedModel, MultiDeviceTransfer
from raynas.metrics.latency_predictor.transfer import MIN_MEASURED, Archive, Transfer
from raynas.metrics.latency_predictor.trees import TreesModel

Array = NDArray[np.float64]
Kind = TypeVar("Kind")

MODELS: Mapping[str, type[DeviceModel]] = {
    "linear": LinearModel,
    "trees": TreesModel,
    "gp": GaussianProcessModel,
    "graph": GraphModel,
}
"""Models that learn from one device, by name."""

TRANSFERS: Mapping[str, type[Transfer]] = {
    "mixture": MixtureTransfer,
    "help": MetaTransfer,
    "nasflat": MultiDeviceTransfer,
}
"""Methods that learn from other devices too, by name."""

STORED: Mapping[str, type[LatencyModel]] = {
    **MODELS,
    "mixture": MixtureModel,
    "help": MetaModel,
    "nasflat": EmbeddedModel,
}
"""Models that a file may hold, by name."""


@dataclass(frozen=True)
class Predictions:
    """Predicted latencies, together with the error of such predictions.

    Args:
        ms: ``(n,)``.
        device: the name of the device.
        error: on networks that the predictor did not see.
    """

    ms: Array
    device: str
    error: PredictionError

    def __len__(self) -> int:
        return len(self.ms)

    def __str__(self) -> str:
        shown = ", ".join(f"{value:.3g}" for value in self.ms[:5]) + (", …" if len(self) > 5 else "")
        return f"{shown} ms on {self.device}, predicted: {self.error}"


@dataclass(frozen=True, kw_only=True)
class LatencyPredictor:
    """Predicts latencies; made by ``fit`` or ``transfer``, or read by ``load_predictor``.

    It is a function of the architecture alone, so its metric is usable wherever one is that needs no training: as
    objective, hard constraint, or expected cost of a differentiable search.

    Args:
        space: the space of the networks, of architectures alone.
        device: the name of the device.
        name: of the model, see ``STORED``.
        model: predicts described networks.
        labels: operations that are counted.
        error: on networks that the model did not see, by cross-validation.
        provenance: of the measurements that it learned from.
    """

    space: SearchSpace
    device: str
    name: str
    model: LatencyModel
    labels: Sequence[str]
    error: PredictionError
    provenance: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def fit(
        cls, space: SearchSpace, latencies: DeviceLatencies, model: str = "gp", *, n_folds: int = 5, seed: int = 0
    ) -> "LatencyPredictor":
        """Learn from the latencies of one device; the error is that of cross-validation.

        Args:
            space: the space of the networks.
            latencies: measured.
            model: "linear" (a sum over counts), "trees" (boosted), "gp" (Gaussian process) or "graph" (graph network).
            n_folds: parts of the measurements, each of which is predicted from the others; at least 2.
            seed: of the folds and of everything random in the model.

        Raises:
            UnknownNameError: if there is no such model.
            SettingError: if there are fewer measurements than folds, or fewer than 2 folds.
        """
        kind = _named("latency model", model, MODELS)
        if not 2 <= n_folds <= len(latencies) // 2:
            raise SettingError(f"n_folds must be from 2 to half of the {len(latencies)} measurements, got {n_folds}")
        space = space.architecture_space
        describer = Describer.seen(space, latencies.archs)
        networks, ms, rng = describer(latencies.archs), latencies.values, np.random.default_rng(seed)
        folds = np.array_split(rng.permutation(len(ms)), n_folds)

        def without(left_out: NDArray[np.int64]) -> LatencyModel:
            kept = np.setdiff1d(np.arange(len(ms)), left_out)
            return kind.fit(networks[kept], ms[kept], rng)

        error = _cross_validated(networks, ms, folds, without, f"{n_folds}-fold cross-validation")
        return cls(
            space=space,
            device=latencies.device,
            name=model,
            model=kind.fit(networks, ms, rng),
            labels=describer.labels,
            error=error,
            provenance=latencies.provenance,
        )

    @classmethod
    def transfer(
        cls,
        space: SearchSpace,
        archives: Sequence[DeviceLatencies],
        latencies: DeviceLatencies,
        method: str = "mixture",
        *,
        seed: int = 0,
    ) -> "LatencyPredictor":
        """Learn from archives of other devices and a few measurements of a new one.

        The error is that of leaving out each of the measurements in turn, so it is itself known to a few networks.

        Args:
            space: the space of the networks.
            archives: latencies of other devices.
            latencies: measured on the new device, see ``choose_networks``; ten are enough.
            method: "mixture" (a weighted sum of the known devices), "help" (meta-learning; the archives must have the
                networks measured here) or "nasflat" (a graph network with device embeddings).
            seed: of everything random.

        Raises:
            UnknownNameError: if there is no such method.
            SettingError: if there are too few measurements, or archives that the method cannot use.
        """
        kind = _named("transfer method", method, TRANSFERS)
        if len(latencies) < MIN_MEASURED:
            raise SettingError(f"a transfer needs {MIN_MEASURED} or more measured networks, got {len(latencies)}")
        space = space.architecture_space
        lists = [latencies.archs, *(archive.archs for archive in archives)]
        describer = Describer.seen(space, list({arch for archs in lists for arch in archs}))
        networks, *others = described_each(describer, lists)
        ms, rng = latencies.values, np.random.default_rng(seed)
        known = [_archive(own, archive, latencies.archs) for own, archive in zip(others, archives, strict=True)]
        learned = kind.learn(known, networks, rng)

        def without(left_out: NDArray[np.int64]) -> LatencyModel:
            kept = np.setdiff1d(np.arange(len(ms)), left_out)
            return learned.adapt(kept.tolist(), ms[kept])

        error = _cross_validated(networks, ms, np.arange(len(ms))[:, None], without, "each left out in turn")
        return cls(
            space=space,
            device=latencies.device,
            name=method,
            model=learned.adapt(range(len(ms)), ms),
            labels=describer.labels,
            error=error,
            provenance={**latencies.provenance, "archives": ", ".join(archive.device for archive in archives)},
        )

    @property
    def identity(self) -> str:
        """Equal for two predictors that predict the same latencies."""
        content = hashlib.sha256(repr((self.space.fingerprint, list(self.labels))).encode())
        for name, tensor in sorted(self.model.tensors().items()):
            content.update(name.encode() + np.ascontiguousarray(tensor).tobytes())
        return f"{self.name} {content.hexdigest()[:16]}"

    @cached_property
    def describer(self) -> Describer:
        """Gives what the model learns from."""
        return Describer(self.space, self.labels)

    def predict(self, archs: Sequence[Architecture]) -> Predictions:
        """Predict latencies of one network or more.

        Raises:
            SpaceError: if one is not a member of the space.
        """
        return Predictions(self.model.predict(self.describer(archs)), self.device, self.error)

    def measure(self, candidate: Candidate) -> float:
        """Return the predicted latency of a candidate, in ms."""
        return float(self.model.predict(self.describer([candidate.arch]))[0])

    def metric(self, name: str = "", *, final: Metric | None = None) -> Metric:
        """Return the predicted latency as a metric, whose title states its error.

        Args:
            name: by default "latency_ms@" and the device; "latency_ms" to predict where raynas would measure.
            final: measures the winner and the Pareto front at the end of a search, and a baseline that limits refer to,
                such as ``raynas.latency("onnxruntime")``; None if the device cannot be reached.
        """
        return predicted_metric(self.device, self.error, self.measure, name, final)

    def __str__(self) -> str:
        return f"latency on {self.device} predicted by {self.name}: {self.error}"


def predicted_metric(
    device: str, error: PredictionError, measure: Measure, name: str = "", final: Metric | None = None
) -> Metric:
    """Return a predicted latency as a metric; see ``LatencyPredictor.metric``."""
    return Metric(
        name=name or "latency_ms@" + "_".join(device.split()),
        mode="min",
        unit="ms",
        title=f"{device}, predicted ({error.within:.0%} within {TOLERANCE:.0%})",
        measure=measure,
        final=final or False,
    )


def _archive(networks: Described, latencies: DeviceLatencies, references: Sequence[Architecture]) -> Archive:
    known = dict(zip(latencies.archs, latencies.ms, strict=True))
    reference_ms = np.array([known.get(arch, np.nan) for arch in references], dtype=np.float64)
    return Archive(latencies.device, networks, latencies.values, reference_ms)


def _cross_validated(
    networks: Described,
    ms: Array,
    folds: Sequence[NDArray[np.int64]] | NDArray[np.int64],
    without: Callable[[NDArray[np.int64]], LatencyModel],
    how: str,
) -> PredictionError:
    """Predict each fold by a model that did not see it."""
    predicted = np.zeros(len(ms))
    for fold in folds:
        predicted[fold] = without(fold).predict(networks[fold])
    return prediction_error(predicted, ms, how)


def _named(kind: str, name: str, table: Mapping[str, type[Kind]]) -> type[Kind]:
    if name not in table:
        raise UnknownNameError(kind, name, table)
    return table[name]
