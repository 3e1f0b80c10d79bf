"""cuDNN's choice of the fastest algorithm for each convolution, by a trial of all of them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def tuned_convolutions(device: torch.device, has_fixed_shapes: bool) -> Iterator[None]:
    """Let cuDNN try its algorithms on each convolution of a new shape, until the context ends.

    That pays where shapes return from step to step. Those who ask torch for deterministic kernels are not overruled.

    Args:
        device: the device; only one of CUDA has cuDNN.
        has_fixed_shapes: True if shapes return.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark
    if device.type == "cuda" and has_fixed_shapes and not cudnn.deterministic:
        cudnn.benchmark = True
    try:
        yield
    finally:
        cudnn.benchmark = before
