"""Measured latencies of networks on a device, from which predictors learn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture
from raynas.errors import SettingError

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DeviceLatencies:
    """Latencies of some networks on one device.

    Args:
        device: its name, shown with every prediction.
        archs: the networks, canonical, each once.
        ms: their latencies in ms, positive, ``(n,)``.
        provenance: what else is known of the measurements, for example back end, version and batch size.

    Raises:
        SettingError: if there is not one positive latency for each network, or a network is there twice.
    """

    device: str
    archs: Sequence[Architecture]
    ms: Sequence[float]
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.archs or len(self.archs) != len(self.ms) or len(set(self.archs)) < len(self.archs):
            raise SettingError(
                f"latencies of {self.device!r} must be one for each of some different networks, "
                f"got {len(self.ms)} for {len(self.archs)} networks, {len(set(self.archs))} of them different"
            )
        if not all(0 < value < np.inf for value in self.ms):
            raise SettingError(f"latencies of {self.device!r} must be positive numbers, got {min(self.ms)}")

    def __len__(self) -> int:
        return len(self.archs)

    @property
    def values(self) -> Array:
        """The latencies in ms, ``(n,)``."""
        return np.asarray(self.ms, dtype=np.float64)
