"""Number of CPU threads that torch and linear algebra use."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import ThreadpoolController


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


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let the BLAS of numpy and scipy use one CPU thread, then as many as before.

    For many products of small matrices: between them the threads would wait busily, and take the cores of trials.
    """
    with _blas().limit(limits=1):
        yield


@cache
def _blas() -> ThreadpoolController:
    """Find the BLAS libraries of the process, which takes milliseconds."""
    import scipy.linalg  # noqa: F401 - loads its BLAS, another one than numpy's

    return ThreadpoolController().select(user_api="blas")
