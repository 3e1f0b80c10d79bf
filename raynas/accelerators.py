"""Kinds of accelerators that torch may know, by the type of their device: "cuda", "mps" and "xpu"."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

DEVICES = ("cpu", "cuda", "mps", "xpu")
"""Types of devices that networks are trained on."""


def is_available(kind: str) -> bool:
    """Return True if this process sees a device of a type."""
    if kind == "mps":
        return bool(torch.backends.mps.is_available())
    backend: Any = getattr(torch, kind, None)
    return kind == "cpu" or (hasattr(backend, "is_available") and bool(backend.is_available()))


def empty_cache(kind: str) -> None:
    """Give back memory that torch holds and does not use."""
    if kind != "cpu" and is_available(kind):
        getattr(torch, kind).empty_cache()


@contextmanager
def forked_rng(device: torch.device, *, enabled: bool = True) -> Iterator[None]:
    """Restore the random numbers of the CPU, and of a GPU of CUDA or XPU, when the context ends."""
    if device.type not in ("cuda", "xpu"):
        with torch.random.fork_rng([], enabled=enabled):
            yield
        return
    with torch.random.fork_rng([device], enabled=enabled, device_type=device.type):
        yield
