"""Batches: epochs of examples and labels on a device."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

Batch = tuple[Any, Any]
"""Inputs of a network, see ``raynas.core.inputs.Inputs``, and labels of shape ``(batch,)``, or other targets."""

EXAMINE_BATCH = {"cpu": 128, "cuda": 1024}
"""Batch size of an evaluation. On a CPU, larger ones fall out of its caches: 1024 took 3.7 times as long as 128."""


class Batches(ABC):
    """The batches of a data set on a device: inputs (images in float32, in channels_last format) and labels."""

    @property
    @abstractmethod
    def n_steps(self) -> int | None:
        """Number of training batches in an epoch; None if unknown."""

    @abstractmethod
    def train(self, seed: int) -> Iterator[Batch]:
        """Yield the training batches of an epoch, shuffled and augmented as ``seed`` decides."""

    @abstractmethod
    def examine(self, part: str) -> Iterator[Batch]:
        """Yield all of "valid" or "test", in order and unchanged."""
