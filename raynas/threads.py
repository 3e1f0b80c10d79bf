"""Number of CPU threads that torch uses."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def limited_threads(n_threads: int) -> Iterator[None]:
    """Let torch use ``n_threads`` CPU threads within an operation, then as many as before.

    Raises:
        ValueError: if ``n_threads`` is not positive.
    """
    if n_threads < 1:
        raise ValueError(f"n_threads must be at least 1, got {n_threads}")
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
