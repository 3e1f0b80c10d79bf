"""Batches: epochs of examples and labels on a device."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from raynas.core.inputs import Arguments, part_of

Batch = tuple[Any, Any]
"""Inputs of a network, see ``raynas.core.inputs.Inputs``, and labels of shape ``(batch,)``, or other targets."""

EXAMINE_BATCH = 128
"""Batch size of an evaluation on a CPU. Larger ones fall out of its caches: 1024 took 3.7 times as long as 128."""

MOST_EXAMINED, MOST_BYTES = 1024, 256 * 2**20
"""Largest number of examples, and size of their inputs in bytes, of a batch of an evaluation on a GPU."""


class Batches(ABC):
    """The batches of a data set on a device: inputs (images in float32, in channels_last format) and labels."""

    @property
    @abstractmethod
    def n_steps(self) -> int | None:
        """Number of training batches in an epoch; None if unknown."""

    @property
    def has_fixed_shapes(self) -> bool:
        """True if all examples have one shape."""
        return False

    @abstractmethod
    def train(self, seed: int) -> Iterator[Batch]:
        """Yield the training batches of an epoch, shuffled and augmented as ``seed`` decides."""

    @abstractmethod
    def examine(self, part: str) -> Iterator[Batch]:
        """Yield all of "valid" or "test", in order and unchanged."""

    def share(self, rank: int, n: int) -> "Batches":
        """Return one worker's share of each batch, as large as every other's; the rest of the division is left out.

        Args:
            rank: number of the worker, from 0.
            n: number of workers.
        """
        return self if n == 1 else SharedBatches(self, rank, n)


@dataclass(frozen=True)
class SharedBatches(Batches):
    """A share of each batch, where every worker has to read the whole batch.

    Args:
        whole: the whole batches, the same for all workers.
        rank: number of this worker, from 0.
        n: number of workers.
    """

    whole: Batches
    rank: int
    n: int

    @property
    def n_steps(self) -> int | None:
        return self.whole.n_steps

    @property
    def has_fixed_shapes(self) -> bool:
        return self.whole.has_fixed_shapes

    def train(self, seed: int) -> Iterator[Batch]:
        return shares_of(self.whole.train(seed), self.rank, self.n)

    def examine(self, part: str) -> Iterator[Batch]:
        return self.whole.examine(part)


def shares_of(batches: Iterable[Batch], rank: int, n: int) -> Iterator[Batch]:
    """Yield the shares of batches that the worker ``rank`` of ``n`` trains on.

    A batch of fewer examples than there are workers is left out: the loss of none would be NaN.
    """
    for inputs, targets in batches:
        n_examples = Arguments.of(inputs).n_examples
        share = share_of_batch(n_examples, rank, n)
        if n_examples >= n:
            yield part_of(inputs, share, n_examples), part_of(targets, share, n_examples)


def examine_batch(device: torch.device, bytes_of_example: int) -> int:
    """Return the batch size of an evaluation.

    Args:
        device: the device.
        bytes_of_example: size of the inputs of an example.
    """
    if device.type == "cpu":
        return EXAMINE_BATCH
    most = max(MOST_BYTES // max(bytes_of_example, 1), 1)
    return min(1 << (most.bit_length() - 1), MOST_EXAMINED)


def share_of_batch(n_examples: int, rank: int, n: int) -> slice:
    """Return the examples of a batch that the worker ``rank`` of ``n`` trains on."""
    return slice(rank, n_examples // n * n, n)
