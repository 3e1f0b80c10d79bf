"""Latency as a sum: of each operation's, each decision's, the parameters' and the multiply-adds' share.

The table of layers of Cai et al., "ProxylessNAS" (ICLR 2019, arXiv:1812.00332), learned from whole networks. No share
is negative (Lawson and Hanson, "Solving Least Squares Problems", 1974); logarithmic errors count, not their squares, so
that single slow runs do not matter (iteratively reweighted least squares).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raynas.metrics.latency_predictor.described import Described
from raynas.metrics.latency_predictor.model import MIN_MS, DeviceModel, Tensors, take

Array = NDArray[np.float64]

_GROUPS = ("decisions", "operations", "costs")
_N_ROUNDS = 10
_SMALLEST = 0.01
"""Error below which all count alike."""
_LEAST_SHARE = 0.1
"""Least prediction while weights are found, as a share of the measurement."""


class LinearModel(DeviceModel):
    """A weighted sum of counts.

    Args:
        weights: ms, ``(1 + n_counts,)``, the first for every network.
    """

    def __init__(self, weights: Array) -> None:
        self.weights = weights

    @classmethod
    def fit(cls, networks: Described, ms: Array, rng: np.random.Generator) -> "LinearModel":
        from scipy.optimize import nnls

        counts = _counts(networks)
        units = np.abs(counts).max(axis=0)
        units[units == 0] = 1.0
        weights, predicted = np.zeros(len(units)), ms
        for _ in range(_N_ROUNDS):
            importance = np.maximum(np.abs(np.log(ms / predicted)), _SMALLEST) ** -0.5 / predicted
            weights = nnls(counts / units * importance[:, None], ms * importance)[0] / units
            predicted = np.maximum(counts @ weights, _LEAST_SHARE * ms)
        return cls(weights)

    def predict(self, networks: Described) -> Array:
        return np.maximum(_counts(networks) @ self.weights, MIN_MS)

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        return {"weights": self.weights}

    @classmethod
    def restored(cls, tensors: Tensors, labels: Sequence[str]) -> "LinearModel":
        return cls(take(tensors, "weights", (None,)))


def _counts(networks: Described) -> Array:
    return np.hstack([np.ones((len(networks), 1)), *(networks.groups[name] for name in _GROUPS)])
