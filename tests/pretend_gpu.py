"""A pretend GPU: its tensors are on the CPU and hold real values, and it refuses what a real one refuses.

Inside of ``pretend_gpu()``, torch sees one GPU. What is moved there, and what is computed from it, says that it is on
"cuda:0"; an operation on tensors of both devices raises the error of a real GPU, also in a backward pass. So tests find
the tensor that was made on the wrong device, on any machine. It counts what a GPU would do, see ``DeviceCounts``.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils import _device
from torch.utils._foreach_utils import _group_tensors_by_device_and_dtype
from torch.utils._python_dispatch import TorchDispatchMode

from tests.device_counts import DeviceCounts

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")


@contextmanager
def pretend_gpu(counts: DeviceCounts | None = None, memory_bytes: int = 10**10) -> Iterator[torch.device]:
    """Let this process see a GPU, as "cuda".

    Args:
        counts: what it does is added to these.
        memory_bytes: free memory that it says it has.
    """
    memory = _Memory(DeviceCounts() if counts is None else counts)
    functions = {**_CUDA, **memory.functions, "mem_get_info": lambda *_: (memory_bytes, memory_bytes)}
    with ExitStack() as stack:
        for name, value in functions.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        if hasattr(torch, "accelerator"):  # optimizers ask it for a stream, which a build for CUDA has no driver for
            stack.enter_context(mock.patch.object(torch.accelerator, "current_accelerator", lambda *_, **__: None))
        stack.enter_context(mock.patch.object(Tensor, "record_stream", lambda *_: None))
        for module in ("torch.nn.utils.clip_grad", "torch.optim.optimizer"):
            grouping = mock.patch.object(sys.modules[module], "_group_tensors_by_device_and_dtype", memory.grouped)
            stack.enter_context(grouping)
        stack.enter_context(_Kernels(memory))
        stack.enter_context(_Devices(memory))
        yield torch.device("cuda")


_CUDA: dict[str, Callable[..., object]] = {
    "is_available": lambda: True,
    "is_initialized": lambda: True,
    "device_count": lambda: 1,
    "current_device": lambda: 0,
    "is_bf16_supported": lambda *_: True,
    "init": lambda: None,
    "get_device_name": lambda *_: "pretend GPU",
    "empty_cache": lambda: None,
    "memory_reserved": lambda *_: 0,
    "memory_allocated": lambda *_: 0,
    "get_per_process_memory_fraction": lambda index: 1.0 if index in (None, 0) else _refuse(index),
    "Stream": lambda *_: _Stream(),
    "Event": lambda enable_timing: _Event(enable_timing),
    "set_per_process_memory_fraction": lambda *_: None,
    "current_stream": lambda *_: _Stream(),
    "stream": lambda stream: stream,
    "reset_peak_memory_stats": lambda *_: None,
    "max_memory_allocated": lambda *_: 10**6,
    "manual_seed": lambda seed: None,
    "manual_seed_all": lambda seed: None,
    "get_rng_state": lambda *_: torch.zeros(16, dtype=torch.uint8),
    "set_rng_state": lambda *_: None,
}


def _refuse(device: object) -> None:
    raise ValueError(f"Expected a torch.device with a specified index or an integer, but got:{device}")


class _Stream(nullcontext[None]):
    """A stream, which need not wait: all is done at once."""

    def wait_stream(self, other: "_Stream") -> None:
        pass


class _Event:
    """An event, with the time of the CPU: all is done at once."""

    def __init__(self, enable_timing: bool) -> None:
        self._seconds = 0.0

    def record(self) -> None:
        self._seconds = time.perf_counter()

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, end: "_Event") -> float:
        return 1000 * (end._seconds - self._seconds)


_device_of = torch._C.TensorBase.device.__get__


class _Memory:
    """The storages on the GPU. A weak reference keeps the address of its storage from being used again."""

    def __init__(self, counts: DeviceCounts) -> None:
        self.counts = counts
        self._storages: dict[int, StorageWeakRef] = {}
        self._pinned: dict[int, StorageWeakRef] = {}
        self._limit = 5000  # of storages, before those that are gone are looked for

    @property
    def functions(self) -> dict[str, Callable[..., object]]:
        """Functions of ``torch.cuda`` that know the memory."""
        return {
            "synchronize": lambda *_: self.counts.waits.update(("synchronize",)),
            "memory_stats": lambda *_: {"allocated_bytes.all.allocated": self.counts.allocated},
        }

    def grouped(self, lists: Any, with_indices: bool = False) -> dict[Any, Any]:
        """Group lists of tensors by device and type, as the function of torch does that looks at the real device."""
        with torch._C.DisableTorchFunction():
            groups = _group_tensors_by_device_and_dtype(lists, with_indices)
            return {
                (GPU if any(self.holds(each) for each in group[0][0] if each is not None) else device, dtype): group
                for (device, dtype), group in groups.items()
            }

    def pin(self, tensor: Tensor) -> Tensor:
        """Return a copy of a tensor of the CPU in pinned memory."""
        pinned = tensor.clone()
        storage = _storage(pinned)
        self._pinned[storage._cdata] = StorageWeakRef(storage)
        return pinned

    def is_pinned(self, tensor: Tensor) -> bool:
        """Return True if a tensor is in pinned memory."""
        storage = _storage(tensor)
        return storage is not None and storage._cdata in self._pinned

    def holds(self, tensor: Tensor) -> bool:
        """Return True if a tensor is on the GPU."""
        storage = _storage(tensor)
        return storage is not None and storage._cdata in self._storages

    def move(self, tensor: Tensor, on_gpu: bool) -> None:
        """Say where a tensor is, with all of its views."""
        storage = _storage(tensor)
        if storage is None:
            return
        if on_gpu:
            self._storages[storage._cdata] = StorageWeakRef(storage)
        else:
            self._storages.pop(storage._cdata, None)
        if len(self._storages) > self._limit:
            self._storages = {key: ref for key, ref in self._storages.items() if not ref.expired()}
            self._limit = 5000 + 2 * len(self._storages)
            self._pinned = {key: ref for key, ref in self._pinned.items() if not ref.expired()}

    def clone(self, tensor: Tensor) -> Tensor:
        """Return a copy, which is no operation of the GPU."""
        counts, self.counts = self.counts, DeviceCounts()
        try:
            return tensor.clone()
        finally:
            self.counts = counts

    def copied(self, tensor: Tensor, *, to_device: bool, non_blocking: bool, other: Tensor | None = None) -> None:
        """Count a copy between the devices; the one on the CPU, ``other`` if not the source, may be pinned."""
        on_cpu = tensor if other is None else other
        waits = not (non_blocking and (self.is_pinned(on_cpu) or not to_device))
        self.counts.add_copy(tensor.nbytes, to_device=to_device, waits=waits)


def _storage(tensor: Tensor) -> Any:
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor.untyped_storage() if _device_of(tensor) == CPU and not tensor.is_sparse else None


def _tensors(values: Iterable[object]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors(value)


class _Kernels(TorchDispatchMode):
    """Runs each operation on the CPU, if its tensors are on one device."""

    def __init__(self, memory: _Memory) -> None:
        super().__init__()
        self._memory = memory

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = list(_tensors((*args, *kwargs.values())))
        places = [self._memory.holds(tensor) for tensor in tensors]
        if any(places) and not all(places):
            self._check(func, args, tensors, places)
        outcome = func(*args, **kwargs)
        if not any(places):
            return outcome
        if func.overloadpacket is torch.ops.aten.copy_ and not all(places):
            _, source, *non_blocking = args
            self._memory.copied(source, to_device=places[0], non_blocking=any(non_blocking), other=tensors[places[0]])
            return outcome
        if func.overloadpacket in _INDEXED and places[0]:
            for index in _tensors(args[1]):
                if not self._memory.holds(index):
                    self._memory.copied(index, to_device=True, non_blocking=False)
        made = list(_tensors((outcome,)))
        self._memory.counts.add_operation(func, args, made)
        for tensor in made:
            self._memory.move(tensor, on_gpu=True)
        return outcome

    def _check(self, func: Any, args: Any, tensors: list[Tensor], places: list[bool]) -> None:
        """Refuse tensors on two devices, but for numbers on the CPU, its indices, and copies."""
        if func.overloadpacket is torch.ops.aten.copy_:
            return
        indices = args[1] if func.overloadpacket in _INDEXED else ()
        writes = func._schema.is_mutable and isinstance(args[0], Tensor) and not places[0]
        for tensor, on_gpu in zip(tensors, places, strict=True):
            if not on_gpu and (tensor.dim() or writes) and not any(tensor is index for index in indices):
                raise RuntimeError(
                    "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
                    f"(in {func})"
                )


_INDEXED = frozenset((torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_))


class _Devices(TorchFunctionMode):
    """Answers questions about devices, and takes "cuda" as an argument."""

    def __init__(self, memory: _Memory) -> None:
        super().__init__()
        self._memory = memory

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name, owner = getattr(func, "__name__", ""), getattr(func, "__self__", None)
        if name == "__get__" and owner in _PROPERTIES:
            on_gpu = self._memory.holds(args[0])
            return func(*args) if not on_gpu else _PROPERTIES[owner]
        if func in (Tensor.to, Tensor.cuda, Tensor.cpu):
            return self._to(func, *args, **kwargs)
        if func in (Tensor.pin_memory, Tensor.is_pinned):
            return (self._memory.pin if func is Tensor.pin_memory else self._memory.is_pinned)(args[0])
        if func is Tensor.tolist and self._memory.holds(args[0]):
            self._memory.copied(args[0], to_device=False, non_blocking=False)
        if func in (Tensor.numpy, Tensor.__array__) and self._memory.holds(args[0]):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")
        if func is Tensor.__deepcopy__ and self._memory.holds(args[0]):
            copied = func(*args, **kwargs)
            self._memory.move(copied, on_gpu=True)
            return copied
        if func in _device._device_constructors() and kwargs.get("device") is None:
            kwargs["device"] = _device.CURRENT_DEVICE
        if kwargs.pop("pin_memory", False):
            return self._memory.pin(func(*args, **kwargs))
        if kwargs.get("device") is None:
            return func(*args, **kwargs)
        return self._make(func, args, kwargs)

    def _make(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Call a function that takes a device for its result."""
        device = torch.device(kwargs["device"])
        if device.type not in ("cuda", "cpu"):
            return func(*args, **kwargs)
        made = func(*args, **{**kwargs, "device": CPU})
        if not isinstance(made, Tensor):
            return made
        made = made.clone() if func in (torch.as_tensor, torch.asarray) else made
        if device.type == "cuda" and not self._memory.holds(made):
            if func in (torch.as_tensor, torch.asarray, torch.tensor):
                self._memory.copied(made, to_device=True, non_blocking=False)
            else:
                self._memory.counts.add_made(func.__name__)
        self._memory.move(made, on_gpu=device.type == "cuda")
        return made

    def _to(self, func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        device, dtype, memory_format = _target(func, args, kwargs, self._memory)
        here = self._memory.holds(tensor)
        if device is not None and device.type == "meta":
            return tensor.to(*args, **kwargs)
        there = here if device is None else device.type == "cuda"
        options: dict[str, Any] = {
            "dtype": dtype or tensor.dtype,
            "memory_format": memory_format or torch.preserve_format,
        }
        if here == there:
            return tensor.to(copy=bool(kwargs.get("copy")), **options)
        non_blocking = kwargs.get("non_blocking", False)
        moved: Tensor = _Move.apply(tensor, self._memory, here, there, non_blocking)
        return moved.to(**options)


_PROPERTIES = {Tensor.device: GPU, Tensor.is_cuda: True, Tensor.is_cpu: False}


def _target(func: Any, args: Any, kwargs: Any, memory: _Memory) -> tuple[torch.device | None, Any, Any]:
    """Return device, dtype and memory format that a tensor is moved to."""
    memory_format = kwargs.get("memory_format")
    if func is not Tensor.to:
        return (GPU if func is Tensor.cuda else CPU), None, memory_format
    other = args[0] if args else kwargs.get("other")
    if isinstance(other, Tensor):
        return (GPU if memory.holds(other) else CPU), other.dtype, memory_format
    kwargs = {name: value for name, value in kwargs.items() if name != "copy"}
    device, dtype, _, memory_format = torch._C._nn._parse_to(*args, **kwargs)
    return device, dtype, memory_format


class _Move(torch.autograd.Function):
    """A copy on the other device, whose gradient is moved back."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, memory: _Memory, here: bool, there: bool, non_blocking: bool) -> Tensor:
        ctx.memory, ctx.here = memory, here
        memory.copied(tensor, to_device=there, non_blocking=non_blocking)
        copied = memory.clone(tensor)
        memory.move(copied, on_gpu=there)
        return copied

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        ctx.memory.copied(gradient, to_device=ctx.here, non_blocking=False)
        copied = ctx.memory.clone(gradient)
        ctx.memory.move(copied, on_gpu=ctx.here)
        return copied, None, None, None, None
