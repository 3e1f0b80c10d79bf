"""A Gaussian process over all features of a network (Rasmussen and Williams, 2006, ch. 2)."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from raynas.errors import ContentError
from raynas.metrics.latency_predictor.described import Described
from raynas.metrics.latency_predictor.model import DeviceModel, Scale, Tensors, take, under
from raynas.regression.matern_kernel import MaternKernel, typical_distance
from raynas.threads import one_blas_thread

Array = NDArray[np.float64]

_MAX_FITTED = 300
"""Number of networks that hyperparameters are learned from at most; the posterior has them all."""


class GaussianProcessModel(DeviceModel):
    """The posterior mean, on the scale of square roots.

    Args:
        kernel: of the groups.
        groups: scaled features of the measured networks, by name.
        units: divisors of the groups, by name.
        weights: of the covariances with the measured networks, ``(n,)``.
        scale: of the targets.
    """

    def __init__(
        self,
        kernel: MaternKernel,
        groups: Mapping[str, Array],
        units: Mapping[str, float],
        weights: Array,
        scale: Scale,
    ) -> None:
        self.kernel, self.groups, self.units, self.weights, self.scale = kernel, groups, units, weights, scale

    @classmethod
    def fit(cls, networks: Described, ms: Array, rng: np.random.Generator) -> "GaussianProcessModel":
        scale = Scale.of(ms)
        targets = scale.targets(ms)
        units = {name: typical_distance(group) for name, group in networks.groups.items()}
        groups = {name: networks.groups[name] / units[name] for name in sorted(units)}
        rows = list(groups.values())
        learned = rng.permutation(len(ms))[:_MAX_FITTED]
        with one_blas_thread():
            kernel = MaternKernel.fitted(
                [group[learned] for group in rows], targets[learned], MaternKernel.prior(len(rows)), max_iterations=40
            )
            covariance = kernel(rows, rows) + kernel.noise * np.eye(len(ms))
            weights = np.asarray(cho_solve(cho_factor(covariance, lower=True), targets))
        return cls(kernel, groups, units, weights, scale)

    def predict(self, networks: Described) -> Array:
        rows = [networks.groups[name] / self.units[name] for name in self.groups]
        with one_blas_thread():
            return self.scale.ms(self.kernel(rows, list(self.groups.values())) @ self.weights)

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        return {
            "theta": self.kernel.theta,
            "weights": self.weights,
            "scale": self.scale.tensor(),
            **{f"group.{name}": group for name, group in self.groups.items()},
            **{f"unit.{name}": np.array([unit]) for name, unit in self.units.items()},
        }

    @classmethod
    def restored(cls, tensors: Tensors, labels: Sequence[str]) -> "GaussianProcessModel":
        weights = take(tensors, "weights", (None,))
        groups = {
            name: take(tensors, f"group.{name}", (len(weights), None)) for name in sorted(under(tensors, "group."))
        }
        units = {name: float(take(tensors, f"unit.{name}", (1,))[0]) for name in groups}
        if not groups or min(units.values()) <= 0:
            raise ContentError("it has no groups of features, or a unit that is not positive")
        kernel = MaternKernel(take(tensors, "theta", (2 * len(groups) + 1,)))
        return cls(kernel, groups, units, weights, Scale.restored(tensors))
