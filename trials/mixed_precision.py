"""Mixed precision: the context of forward passes in another type than the weights have."""

import torch

from raynas.metrics.latency.settings import DTYPES


def autocast(device: torch.device, dtype: str) -> torch.autocast:
    """Return the context of forward passes.

    Args:
        device: the device.
        dtype: "float32" for none, "bfloat16" or "float16".
    """
    is_mixed = dtype != "float32"
    return torch.autocast(device.type, DTYPES[dtype] if is_mixed else torch.bfloat16, enabled=is_mixed)
