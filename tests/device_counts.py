"""Counts of what a GPU would be asked to do: operations, copies from and to it, and the times that Python waits for it.

A count is that of torch's operations below autograd. Each starts a kernel, or a few that torch chooses; views and
empty tensors start none. Python waits for the GPU where it reads a number, where the shape of a result depends on
values, and in every copy that is not from or to pinned memory with ``non_blocking=True``.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

_aten = torch.ops.aten

_READS = frozenset((_aten._local_scalar_dense, _aten.equal, _aten.is_nonzero))
_SHAPED_BY_VALUES = frozenset(
    (_aten.nonzero, _aten.masked_select, _aten._unique2, _aten.unique_dim, _aten.unique_consecutive, _aten.bincount)
)
_FREE = frozenset(
    (
        _aten.empty,
        _aten.empty_like,
        _aten.empty_strided,
        _aten.new_empty,
        _aten.new_empty_strided,
        _aten.lift_fresh,
        _aten.is_same_size,
        _aten._unsafe_view,
    )
)


@dataclass
class DeviceCounts:
    """Sums since the beginning, or since ``clear``.

    Args:
        operations: operations on the GPU by name.
        to_device: copies to the GPU.
        bytes_to_device: their size.
        to_host: copies from the GPU, numbers that are read included.
        waits: reasons why Python waited for the GPU, with their numbers.
        allocated: bytes of all tensors that operations made on the GPU, whether or not they live.
    """

    operations: Counter[str] = field(default_factory=Counter)
    to_device: int = 0
    bytes_to_device: int = 0
    to_host: int = 0
    waits: Counter[str] = field(default_factory=Counter)
    allocated: int = 0

    @property
    def n_operations(self) -> int:
        """Number of operations."""
        return self.operations.total()

    @property
    def n_waits(self) -> int:
        """Number of times that Python waited."""
        return self.waits.total()

    def clear(self) -> None:
        """Start from zero."""
        self.operations.clear()
        self.waits.clear()
        self.to_device = self.bytes_to_device = self.to_host = self.allocated = 0

    def add_operation(self, func: Any, args: tuple[Any, ...], outcome: Iterable[Tensor]) -> None:
        """Count an operation of which some tensor is on the GPU."""
        packet = func.overloadpacket
        if packet in _READS:
            self.to_host += 1
            self.waits[f"reads a number ({packet.__name__})"] += 1
        elif packet in _SHAPED_BY_VALUES or _has_mask(packet, args):
            self.waits[f"shape depends on values ({packet.__name__})"] += 1
        if packet in _READS or packet in _FREE or _is_view(func):
            return
        self.operations[packet.__name__] += 1
        if not func._schema.is_mutable:
            self.allocated += sum(tensor.nbytes for tensor in outcome)

    def add_made(self, name: str) -> None:
        """Count a tensor that is made on the GPU, such as by ``torch.zeros(3, device="cuda")``."""
        if not name.startswith("empty"):
            self.operations[name] += 1

    def add_copy(self, n_bytes: int, *, to_device: bool, waits: bool) -> None:
        """Count a copy between the devices."""
        if to_device:
            self.to_device += 1
            self.bytes_to_device += n_bytes
        else:
            self.to_host += 1
        if waits:
            self.waits["copies to the GPU" if to_device else "copies from the GPU"] += 1


@cache
def _is_view(func: Any) -> bool:
    """Return True if the result shares the memory of an argument, and nothing is written."""
    returns = func._schema.returns
    return bool(returns) and not func._schema.is_mutable and all(each.alias_info is not None for each in returns)


def _has_mask(packet: Any, args: tuple[Any, ...]) -> bool:
    """Return True for indexing by bools, whose number of results the GPU has to count first."""
    if packet not in (_aten.index, _aten.index_put, _aten.index_put_):
        return False
    return any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1])
