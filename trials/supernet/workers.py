"""Workers: the processes that share each batch of data-parallel training; by default one alone."""

from collections.abc import Iterable

from torch import Tensor, nn


class Workers:
    """One of several workers of data-parallel training, and its communication with the others; here it is alone.

    Args:
        rank: number of this worker, from 0.
        n: number of workers.
    """

    def __init__(self, rank: int = 0, n: int = 1) -> None:
        self.rank, self.n = rank, n

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over all workers, which call this with the same parameters."""

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace floating-point tensors by their mean over all workers, in place."""
