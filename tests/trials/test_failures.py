"""Failures in one line."""

import gc
import weakref
from collections.abc import Callable

import pytest
import torch

from raynas.errors import RaynasError
from raynas.trials.failures import forget_frames, is_out_of_memory, reason_of


def caught(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as raised:
        return raised


def test_the_reason_says_where() -> None:
    assert reason_of(caught(KeyError("x"))).startswith("KeyError: 'x' (test_failures.py, line ")
    assert reason_of(caught(RaynasError("two\nlines"))) == "two lines"
    assert reason_of(ValueError("never raised")) == "ValueError: never raised"


def test_an_error_in_a_library_is_where_the_user_called_it() -> None:
    def forward() -> None:
        torch.nn.functional.embedding(torch.tensor([7]), torch.zeros(3, 2))

    try:
        forward()
    except IndexError as error:
        assert reason_of(error).startswith("IndexError: index out of range in self (test_failures.py, line ")


def test_a_batch_too_small_for_batch_norm_has_a_hint() -> None:
    try:
        torch.nn.BatchNorm1d(2)(torch.zeros(1, 2))
    except ValueError as error:
        assert "drop_last=True: ValueError: Expected more than 1 value" in reason_of(error)


MEMORY = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.69 GiB of which 1.2 GiB is free.",
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a non-contiguous input.",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "Unable to find a valid cuDNN algorithm to run convolution",
    "GET was unable to find an engine to execute this computation",
    "cuFFT error: CUFFT_ALLOC_FAILED",
    "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`",
    "CUDA error: insufficient resources when calling `cusparseCreate(handle)`",
    "CUDA driver error: CUDA_ERROR_OUT_OF_MEMORY",
    "Triton Error [CUDA]: out of memory",
    "NCCL error in: ProcessGroupNCCL.cpp:1275, unhandled cuda error\nLast error:\nCuda failure 2 'out of memory'",
    "HIP out of memory. Tried to allocate 512.00 MiB.",
    "HIP error: hipErrorOutOfMemory",
    "MPS backend out of memory (MPS allocated: 8.50 GB, other allocations: 480.00 KB, max allowed: 9.07 GB).",
    "XPU out of memory. Tried to allocate 20.00 MiB.",
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate",
    "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes.",
    "[Errno 12] Cannot allocate memory",
    "std::bad_alloc",
)
OTHERS = (
    "boom",
    "CUDA error: device-side assert triggered",
    "CUDA error: an illegal memory access was encountered",
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(handle, opa, opb, m, n, k)`",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!",
    "size of tensor a (3) must match the size of tensor b (4)",
)


def is_reported_as_memory(error: BaseException) -> bool:
    hinted = "a smaller batch_size or network may fit" in reason_of(error)
    assert hinted is is_out_of_memory(error)
    return hinted


@pytest.mark.parametrize("message", MEMORY)
def test_memory_that_runs_out_is_recognised_by_its_message(message: str) -> None:
    assert is_reported_as_memory(RuntimeError(message))


@pytest.mark.parametrize("message", OTHERS)
def test_other_errors_are_not_taken_for_it(message: str) -> None:
    assert not is_reported_as_memory(RuntimeError(message))


def test_memory_that_runs_out_is_recognised_by_its_type_and_its_cause() -> None:
    assert is_reported_as_memory(MemoryError())
    assert is_reported_as_memory(torch.cuda.OutOfMemoryError("no text"))
    wrapped = ValueError("the batch could not be read")
    wrapped.__cause__ = RuntimeError("HIP out of memory")
    assert is_reported_as_memory(wrapped)
    handled = ValueError("something else, after a batch that was too large had been halved")
    handled.__context__ = MemoryError()
    assert not is_reported_as_memory(handled)


def test_frames_let_go_of_what_they_hold() -> None:
    class Held:
        pass

    def fail() -> None:
        held = Held()
        kept.append(weakref.ref(held))
        try:
            raise KeyError("first")
        except KeyError as error:
            raise RuntimeError("second") from error

    kept: list[weakref.ref[Held]] = []
    gc.disable()
    try:
        error = caught_in(fail)
        assert kept[0]() is not None
        forget_frames(error)
        assert kept[0]() is None
    finally:
        gc.enable()


def caught_in(action: Callable[[], None]) -> BaseException:
    try:
        action()
    except Exception as error:
        return error
    raise AssertionError
