"""LatencyModel: a fitted function from described networks to milliseconds, which can be stored as tensors."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from raynas.errors import ContentError
from raynas.metrics.latency_predictor.described import Described

Array = NDArray[np.float64]
ScaleKind = TypeVar("ScaleKind", bound="Scale")
Tensors = Mapping[str, NDArray[np.generic]]
"""Arrays by name, as a file holds them."""

MIN_MS = 1e-3
"""Least latency that is predicted."""
_MAX_LOG = 300.0
"""Logarithm of the largest latency in ms that a number on a logarithmic scale is converted to."""


class LatencyModel(ABC):
    """A fitted model."""

    @abstractmethod
    def predict(self, networks: Described) -> Array:
        """Return latencies in ms, ``(n,)``, at least ``MIN_MS``."""

    @abstractmethod
    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """Return all that ``restored`` needs."""

    @classmethod
    @abstractmethod
    def restored(cls, tensors: Tensors, labels: Sequence[str]) -> "LatencyModel":
        """Return the model of ``tensors``.

        Args:
            tensors: of a file; of any shape.
            labels: operations, as the describer counts them.

        Raises:
            ContentError: if a tensor is missing or malformed.
        """


class DeviceModel(LatencyModel):
    """A model that learns from measurements on its device alone."""

    @classmethod
    @abstractmethod
    def fit(cls, networks: Described, ms: Array, rng: np.random.Generator) -> "DeviceModel":
        """Learn latencies ``(n,)`` of networks."""


@dataclass(frozen=True)
class Scale:
    """Square roots of latencies, standardised: noise grows with latency, and so do the effects of operations.

    Args:
        centre: mean of the square roots.
        spread: their standard deviation, positive.
    """

    centre: float
    spread: float

    @classmethod
    def of(cls, ms: Array) -> "Scale":
        """Return the scale on which some latencies have mean 0 and variance 1."""
        roots = np.sqrt(ms)
        return cls(float(roots.mean()), float(roots.std()) or 1.0)

    def targets(self, ms: Array) -> Array:
        """Convert milliseconds."""
        return np.asarray((np.sqrt(ms) - self.centre) / self.spread)

    def ms(self, targets: Array) -> Array:
        """Convert to milliseconds."""
        return np.asarray(np.maximum(targets * self.spread + self.centre, MIN_MS**0.5) ** 2)

    def tensor(self) -> Array:
        """Return both numbers, ``(2,)``."""
        return np.array([self.centre, self.spread])

    @classmethod
    def restored(cls: type[ScaleKind], tensors: Tensors, name: str = "scale") -> ScaleKind:
        """Return the scale in a tensor.

        Raises:
            ContentError: if it is none.
        """
        centre, spread = take(tensors, name, (2,)).tolist()
        if spread <= 0:
            raise ContentError(f"the spread in {name} is not positive")
        return cls(centre, spread)


class LogScale(Scale):
    """Logarithms of latencies, standardised, for models whose relative errors count.

    Args:
        centre: mean of the logarithms.
        spread: their standard deviation, positive.
    """

    @classmethod
    def of(cls, ms: Array) -> "LogScale":
        logs = np.log(ms)
        return cls(float(logs.mean()), float(logs.std()) or 1.0)

    def targets(self, ms: Array) -> Array:
        return np.asarray((np.log(ms) - self.centre) / self.spread)

    def ms(self, targets: Array) -> Array:
        logs = np.clip(targets * self.spread + self.centre, np.log(MIN_MS), _MAX_LOG)
        return np.asarray(np.exp(logs))


def take(tensors: Tensors, name: str, shape: Sequence[int | None]) -> Array:
    """Return a tensor of finite numbers; None in the shape allows any size.

    Raises:
        ContentError: if it is missing, of another shape, or not finite.
    """
    found = tensors.get(name)
    if found is None or len(found.shape) != len(shape):
        raise ContentError(f"tensor {name} is missing or has not {len(shape)} dimensions")
    if any(size not in (None, actual) for size, actual in zip(shape, found.shape, strict=True)):
        raise ContentError(f"tensor {name} has the shape {found.shape}")
    array = np.asarray(found, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ContentError(f"tensor {name} is not finite")
    return array


def under(tensors: Tensors, prefix: str) -> dict[str, NDArray[np.generic]]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
