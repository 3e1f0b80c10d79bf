"""A new device as a mixture of known ones: latencies of devices have low rank, so few measurements fix the weights.

Bayesian linear regression (Bishop, "Pattern Recognition and Machine Learning", 2006, section 3.3) on what a Gaussian
process of each known device predicts. Its prior is the mean of all known devices; its two variances are those with
which each known device is best predicted from the others, so none is set by hand and none needs the new device. It is
the plain answer that the neural ones, HELP and NASFLAT, should beat; see
``scripts/bench/results/latency_prediction.md``.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from raynas.errors import ContentError
from raynas.metrics.latency_predictor.described import Described
from raynas.metrics.latency_predictor.gaussian_process import GaussianProcessModel
from raynas.metrics.latency_predictor.model import LatencyModel, Scale, Tensors, take, under
from raynas.metrics.latency_predictor.transfer import Archive, Transfer, require_devices

Array = NDArray[np.float64]

NOISES, WEIGHT_VARIANCES = (0.03, 0.1, 0.3), (0.1, 0.3, 1.0)
"""Variances tried, of a measurement and of a weight, where latencies of a device have variance 1."""

_N_COMPARED = 200
"""Number of networks of each archive on which the variances are compared."""

_FLAT = 100.0
"""Variance of the constant, which may be anything."""


class MixtureModel(LatencyModel):
    """A weighted sum of the standardised predictions of known devices.

    Args:
        devices: models of the known devices.
        weights: of the constant and of each device, ``(1 + n_devices,)``.
        scale: of the new device.
    """

    def __init__(self, devices: Sequence[GaussianProcessModel], weights: Array, scale: Scale) -> None:
        self.devices, self.weights, self.scale = devices, weights, scale

    def predict(self, networks: Described) -> Array:
        return self.scale.ms(with_constant(standardised(self.devices, networks)) @ self.weights)

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        parts = {f"{i}/{name}": t for i, device in enumerate(self.devices) for name, t in device.tensors().items()}
        return {**parts, "weights": self.weights, "scale": self.scale.tensor()}

    @classmethod
    def restored(cls, tensors: Tensors, labels: Sequence[str]) -> "MixtureModel":
        weights = take(tensors, "weights", (None,))
        if len(weights) < 2:
            raise ContentError("a mixture needs a device")
        devices = [GaussianProcessModel.restored(under(tensors, f"{i}/"), labels) for i in range(len(weights) - 1)]
        return cls(devices, weights, Scale.restored(tensors))


class MixtureTransfer(Transfer):
    """Weights for the known devices.

    Args:
        devices: models of the known devices.
        predicted: their standardised predictions of the references, ``(n_references, n_devices)``.
        noise: variance of a measurement.
        weight_variance: of a weight, before any measurement.
    """

    def __init__(
        self, devices: Sequence[GaussianProcessModel], predicted: Array, noise: float, weight_variance: float
    ) -> None:
        self.devices, self.predicted, self.noise, self.weight_variance = devices, predicted, noise, weight_variance

    @classmethod
    def learn(cls, archives: Sequence[Archive], references: Described, rng: np.random.Generator) -> "MixtureTransfer":
        require_devices(archives, 2)
        devices = [GaussianProcessModel.fit(archive.networks, archive.ms, rng) for archive in archives]
        predicted = standardised(devices, references)
        tasks = [_Task.of(i, archive, devices, predicted, rng) for i, archive in enumerate(archives)]
        noise, weight_variance = min(product(NOISES, WEIGHT_VARIANCES), key=lambda v: sum(t.error(*v) for t in tasks))
        return cls(devices, predicted, noise, weight_variance)

    def adapt(self, measured: Sequence[int], ms: Array) -> MixtureModel:
        rows = self.predicted[list(measured)]
        return MixtureModel(self.devices, *mixed(rows, ms, self.noise, self.weight_variance))


class _Task:
    """A known device as if it were new: its references, and networks to compare with, as the others predict them."""

    def __init__(self, references: Array, reference_ms: Array, compared: Array, ms: Array) -> None:
        self.references, self.reference_ms, self.compared, self.ms = references, reference_ms, compared, ms

    @classmethod
    def of(
        cls,
        index: int,
        archive: Archive,
        devices: Sequence[GaussianProcessModel],
        predicted: Array,
        rng: np.random.Generator,
    ) -> "_Task":
        own, others = devices[index], [device for i, device in enumerate(devices) if i != index]
        drawn = rng.permutation(len(archive.ms))[:_N_COMPARED]
        unknown = own.scale.ms(predicted[:, index])
        return cls(
            np.delete(predicted, index, axis=1),
            np.where(np.isnan(archive.reference_ms), unknown, archive.reference_ms),
            standardised(others, archive.networks[drawn]),
            archive.ms[drawn],
        )

    def error(self, noise: float, weight_variance: float) -> float:
        """Return the mean squared error over the variance."""
        weights, scale = mixed(self.references, self.reference_ms, noise, weight_variance)
        true = Scale.of(self.ms)
        said = scale.ms(with_constant(self.compared) @ weights)
        return float(np.mean((true.targets(said) - true.targets(self.ms)) ** 2))


def standardised(devices: Sequence[GaussianProcessModel], networks: Described) -> Array:
    """Return what each device predicts, each on its scale, ``(n, n_devices)``."""
    return np.stack([device.scale.targets(device.predict(networks)) for device in devices], axis=1)


def with_constant(rows: Array) -> Array:
    """Put a column of ones in front."""
    return np.hstack([np.ones((len(rows), 1)), rows])


def mixed(rows: Array, ms: Array, noise: float, weight_variance: float) -> tuple[Array, Scale]:
    """Return the posterior mean of the constant and the weights, and the scale of their sum.

    Args:
        rows: standardised predictions of the measured networks, ``(n, n_devices)``.
        ms: measured, ``(n,)``.
        noise: variance of a measurement.
        weight_variance: prior variance of a weight, about the mean of all devices.
    """
    roots, n_devices = np.sqrt(ms), rows.shape[1]
    mean = rows.mean(axis=1)
    # The measured networks need not be typical: the spread is per unit of the mean device.
    scale = Scale(float(roots.mean()), float(roots.std() / (mean.std() or 1.0)) or 1.0)
    x, prior = with_constant(rows), np.array([0.0, *np.full(n_devices, 1 / n_devices)])
    precision = np.diag([1 / _FLAT, *np.full(n_devices, 1 / weight_variance)])
    residual = scale.targets(ms) - x @ prior
    return prior + np.linalg.solve(precision + x.T @ x / noise, x.T @ residual / noise), scale
