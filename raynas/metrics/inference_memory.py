"""Memory of inference: the peak of what activations need, by their lifetimes over the order of operations."""

from itertools import accumulate
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from raynas.core.inputs import Arguments, leaves
from raynas.metrics.mac_counter import MacCounter, Outcomes


class MemoryTrace(MacCounter):
    """Follows the memory of activations through the operations that run under it.

    Memory is needed from the operation that puts a tensor out to the last operation that reads it or a view of it, as
    in a runtime that plans memory ahead (Lin et al., NeurIPS 2020, minimise the peak of this sum to fit a network into
    a microcontroller). So the shortcut of a residual block is held to its addition, an operation in place needs nothing
    new, and inputs are given up after their last use. A Python program that keeps tensors in variables holds them for
    longer. Not included are weights, buffers and other constants, nor what kernels take for themselves while they run.

    Args:
        known: see ``MacCounter``.
    """

    subject: ClassVar[str] = "memory of inference"

    def __init__(self, known: Outcomes | None) -> None:
        super().__init__(known)
        self._n_operations = 0
        self._lives: dict[int, _Life] = {}
        self._constants: dict[int, StorageWeakRef] = {}

    def run(self, model: nn.Module, inputs: Arguments) -> None:
        """Follow a forward pass; its inputs are there from the beginning, its outputs to the end."""
        self._born(inputs.tensors)
        with self:
            outputs = inputs.call(model)
        self._read(_tensors(outputs))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        self._read(_tensors((args, kwargs or {})))
        self._born(_tensors(result))
        self._n_operations += 1
        return result

    @property
    def peak(self) -> int:
        """The most memory needed at once, in bytes."""
        changes = [0] * (self._n_operations + 2)
        for life in self._lives.values():
            changes[life.first] += life.n_bytes
            changes[life.last + 1] -= life.n_bytes
        return max(accumulate(changes))

    def _read(self, tensors: list[Tensor]) -> None:
        for tensor in tensors:
            storage = StorageWeakRef(tensor.untyped_storage())
            if storage.cdata in self._lives:
                self._lives[storage.cdata].last = self._n_operations
            else:  # no operation has made it
                self._constants[storage.cdata] = storage

    def _born(self, tensors: list[Tensor]) -> None:
        for tensor in tensors:
            memory = tensor.untyped_storage()
            storage = StorageWeakRef(memory)
            if storage.cdata not in self._lives and storage.cdata not in self._constants:
                self._lives[storage.cdata] = _Life(storage, memory.nbytes(), self._n_operations)


class _Life:
    """Lifetime of a piece of memory: the indices of the first and the last operation that need it.

    Args:
        storage: refers to the memory without holding it, and keeps its address from being given to another.
        n_bytes: its size.
        first: index of the operation that makes it.
    """

    def __init__(self, storage: StorageWeakRef, n_bytes: int, first: int) -> None:
        self.storage, self.n_bytes = storage, n_bytes
        self.first = self.last = first


def _tensors(value: object) -> list[Tensor]:
    return [leaf for leaf in leaves(value) if isinstance(leaf, Tensor)]
