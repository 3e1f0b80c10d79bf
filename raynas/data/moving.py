"""Moving of batches to a GPU, ahead of their use and without waiting."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from raynas.core.inputs import mapped
from raynas.data.batches import Batch

RESIDENT_SHARE = 0.2
"""Share of the free memory of a GPU that a split may take to be kept there."""

_STREAMING = ("cuda", "xpu")
"""Kinds of devices with streams, and pinned memory that they copy from by themselves."""


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device, from pinned memory where Python need not wait for the copy then."""
    if device.type not in _STREAMING or tensor.device.type != "cpu":
        return tensor.to(device)
    return (tensor if tensor.is_pinned() else tensor.pin_memory()).to(device, non_blocking=True)


def ahead(batches: Iterable[Batch], move: Callable[[Batch], Batch], device: torch.device) -> Iterator[Batch]:
    """Move each batch while the one before it is used, in another stream.

    Args:
        batches: on the CPU.
        move: puts a batch on the device, by ``moved``.
        device: the device; on a CPU nothing is done ahead.
    """
    if device.type not in _STREAMING:
        yield from map(move, batches)
        return
    backend: Any = getattr(torch, device.type)
    stream = backend.Stream(device)
    waiting: Batch | None = None
    for batch in batches:
        with backend.stream(stream):
            coming = move(batch)
        if waiting is not None:
            yield _arrived(waiting, stream, backend, device)
        waiting = coming
    if waiting is not None:
        yield _arrived(waiting, stream, backend, device)


def _arrived(batch: Batch, stream: Any, backend: Any, device: torch.device) -> Batch:
    """Let the work to come wait for a batch, whose memory is not to be used again before it is done."""
    present = backend.current_stream(device)
    present.wait_stream(stream)

    def used(leaf: object) -> object:
        if isinstance(leaf, Tensor):
            leaf.record_stream(present)
        return leaf

    mapped(batch, used)
    return batch


def fits(n_bytes: int, device: torch.device) -> bool:
    """Return True if data of a size may be kept on a device."""
    return device.type in _STREAMING and n_bytes <= RESIDENT_SHARE * free_memory(device)


def free_memory(device: torch.device) -> float:
    """Return the bytes of a GPU that this process may still use, its share of the GPU considered."""
    backend: Any = getattr(torch, device.type)
    free, total = backend.mem_get_info(device)
    if device.type != "cuda":
        return float(free)
    # What torch holds but does not use is free too. A limit set for the process counts what torch holds.
    held, used = torch.cuda.memory_reserved(device), torch.cuda.memory_allocated(device)
    share = getattr(torch.cuda, "get_per_process_memory_fraction", lambda _: 1.0)(device.index)  # older torch has none
    return float(min(free + held - used, share * total - used))
