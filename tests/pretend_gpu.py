"""A pretend GPU: its tensors are on the CPU and hold real values, and it refuses what a real one refuses.

Inside of ``pretend_gpu()``, torch sees one GPU. What is moved there, and what is computed from it, says that it is on
"cuda:0"; an operation on tensors of both devices raises the error of a real GPU, also in a backward pass. So tests find
the tensor that was made on the wrong device, on any machine.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils import _device
from torch.utils._python_dispatch import TorchDispatchMode

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")


@contextmanager
def pretend_gpu() -> Iterator[torch.device]:
    """Let this process see a GPU, as "cuda"."""
    memory = _Memory()
    with ExitStack() as stack:
        for name, value in _CUDA.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        if hasattr(torch, "accelerator"):  # optimizers ask it for a stream, which a build for CUDA has no driver for
            stack.enter_context(mock.patch.object(torch.accelerator, "current_accelerator", lambda *_, **__: None))
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
    "synchronize": lambda *_: None,
    "get_device_name": lambda *_: "pretend GPU",
    "empty_cache": lambda: None,
    "reset_peak_memory_stats": lambda *_: None,
    "max_memory_allocated": lambda *_: 10**6,
    "manual_seed": lambda seed: None,
    "manual_seed_all": lambda seed: None,
    "get_rng_state": lambda *_: torch.zeros(16, dtype=torch.uint8),
    "set_rng_state": lambda *_: None,
}


_device_of = torch._C.TensorBase.device.__get__


class _Memory:
    """The storages on the GPU. A weak reference keeps the address of its storage from being used again."""

    def __init__(self) -> None:
        self._storages: dict[int, StorageWeakRef] = {}

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
        if len(self._storages) > 5000:
            self._storages = {key: ref for key, ref in self._storages.items() if not ref.expired()}


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
        if any(places) and func.overloadpacket is not torch.ops.aten.copy_:
            for tensor in _tensors((outcome,)):
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
        if func in (Tensor.numpy, Tensor.__array__) and self._memory.holds(args[0]):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")
        if func is Tensor.__deepcopy__ and self._memory.holds(args[0]):
            copied = func(*args, **kwargs)
            self._memory.move(copied, on_gpu=True)
            return copied
        if func in _device._device_constructors() and kwargs.get("device") is None:
            kwargs["device"] = _device.CURRENT_DEVICE
        if kwargs.get("device") is None:
            return func(*args, **kwargs)
        return self._make(func, args, kwargs)

    def _make(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Call a function that takes a device for its result."""
        device = torch.device(kwargs["device"])
        if device.type not in ("cuda", "cpu"):
            return func(*args, **kwargs)
        made = func(*args, **{**kwargs, "device": CPU})
        if isinstance(made, Tensor):
            made = made.clone() if func in (torch.as_tensor, torch.asarray) else made
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
        moved: Tensor = _Move.apply(tensor, self._memory, here, there)
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
    def forward(ctx: Any, tensor: Tensor, memory: _Memory, here: bool, there: bool) -> Tensor:
        ctx.memory, ctx.here = memory, here
        copied = tensor.clone()
        memory.move(copied, on_gpu=there)
        return copied

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        copied = gradient.clone()
        ctx.memory.move(copied, on_gpu=ctx.here)
        return copied, None, None, None
