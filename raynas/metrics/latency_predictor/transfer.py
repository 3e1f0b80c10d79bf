"""Transfer: what archives of other devices say of a new one, of which only a few networks were measured."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raynas.errors import SettingError
from raynas.metrics.latency_predictor.described import Described
from raynas.metrics.latency_predictor.model import LatencyModel

Array = NDArray[np.float64]

MIN_MEASURED = 4
"""Least number of networks measured on a new device: each is left out in turn, and a scale needs a few others."""


@dataclass(frozen=True)
class Archive:
    """Networks measured on a device that is known.

    Args:
        device: its name.
        networks: those measured.
        ms: their latencies, ``(n,)``.
        reference_ms: of the reference networks, which are measured on the new device too, ``(n_references,)``; NaN
            where the archive has none.
    """

    device: str
    networks: Described
    ms: Array
    reference_ms: Array


class Transfer(ABC):
    """Learns from archives once, then adapts to measurements of reference networks on a new device."""

    @classmethod
    @abstractmethod
    def learn(cls, archives: Sequence[Archive], references: Described, rng: np.random.Generator) -> "Transfer":
        """Learn from archives.

        Args:
            archives: of different devices.
            references: networks that will be measured on the new device.
            rng: source of all randomness.

        Raises:
            SettingError: if the archives do not suffice.
        """

    @abstractmethod
    def adapt(self, measured: Sequence[int], ms: Array) -> LatencyModel:
        """Return the model of the new device.

        Args:
            measured: indices of the reference networks that were measured.
            ms: their latencies, ``(n_measured,)``.
        """


def require_devices(archives: Sequence[Archive], least: int) -> None:
    """Refuse to learn from too few devices.

    Raises:
        SettingError: if there are fewer than ``least``.
    """
    if len(archives) < least:
        raise SettingError(f"a transfer needs archives of {least} or more devices, got {len(archives)}")
