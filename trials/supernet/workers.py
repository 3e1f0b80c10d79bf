"""Workers: the processes that share each batch of data-parallel training; by default one alone."""

from collections.abc import Iterable

from torch import Tensor, nn

from raynas.core.inputs import Arguments, part_of
from raynas.data.batches import Batch


class Workers:
    """One of several workers of data-parallel training, and its communication with the others; here it is alone.

    Args:
        rank: number of this worker, from 0.
        n: number of workers.
    """

    def __init__(self, rank: int = 0, n: int = 1) -> None:
        self.rank, self.n = rank, n

    def share(self, batch: Batch) -> Batch:
        """Return this worker's share of a batch, as large as every other's; the rest of the division is left out."""
        inputs, targets = batch
        n = Arguments.of(inputs).n_examples
        share = slice(self.rank, n // self.n * self.n, self.n)
        return part_of(inputs, share, n), part_of(targets, share, n)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over all workers, which call this with the same parameters."""

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace floating-point tensors by their mean over all workers, in place."""
