"""Failures of trials: the reason in one line, and the memory that a traceback holds."""

import errno
import gc
import re
import traceback
from pathlib import Path

import torch
from ray.exceptions import RayActorError

from raynas.accelerators import empty_cache
from raynas.errors import RaynasError, one_line, user_frame

_OUT_OF_MEMORY = (
    "outofmemory",  # CUDA, HIP, MPS and XPU; their runtimes' error codes; NCCL and Triton quote them
    "cannotallocatememory",  # ENOMEM
    "cantallocatememory",  # torch's CPU allocator
    "notenoughmemory",  # the same on Windows
    "failedtoallocatememory",
    "badalloc",  # std::bad_alloc
    "memoryallocation",  # cudaErrorMemoryAllocation
    "allocfailed",  # CUBLAS_STATUS_ALLOC_FAILED and those of cuDNN, cuFFT, cuSOLVER, HIP
    "allocationfailed",  # CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED
    "insufficientresources",  # CUSPARSE_STATUS_INSUFFICIENT_RESOURCES
    # The libraries say no more than this where there is no room for their handles and workspaces.
    "cublasstatusnotinitialized",
    "cudnnstatusnotinitialized",
    "cudnnstatusnotsupported",
    "findavalidcudnnalgorithm",
    "findanenginetoexecutethiscomputation",
)
"""Parts of the messages where memory ran out, in lower case and without anything but letters."""


def reason_of(error: BaseException) -> str:
    """Return the reason in one line, with the file and line of the code that raised it, best of the user's own."""
    if isinstance(error, RaynasError):
        return one_line(error)
    hint = "out of memory, a smaller batch_size or network may fit: " if is_out_of_memory(error) else ""
    if is_too_small_for_batch_norm(error):
        hint = "batch norm cannot take a batch of one example, which a loader leaves out with drop_last=True: "
    frames = traceback.extract_tb(error.__traceback__)
    frame = user_frame(error) or (frames[-1] if frames else None)
    where = f" ({Path(frame.filename).name}, line {frame.lineno})" if frame else ""
    return f"{hint}{one_line(error)}{where}"


def reason_of_death(error: RayActorError) -> str:
    """Return in one line why an actor died."""
    # Tabs begin the lines that name the actor.
    return " ".join(line for line in str(error).splitlines() if not line.startswith("\t"))[:500]


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if memory ran out, by type and message of the error and of its causes."""
    while not isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) and not says_out_of_memory(str(error)):
        if error.__cause__ is None:
            return False
        error = error.__cause__
    return True


_NO_SPACE = frozenset((errno.ENOSPC, errno.EDQUOT))
_NO_SPACE_TEXTS = ("no space left", "disk quota exceeded", "errno 28", "pytorchstreamwriter failed")


def is_out_of_disk(error: BaseException | None) -> bool:
    """Return True if a disk was full, or a quota used up, by the words of torch, pyarrow or the operating system."""
    while error is not None:
        text = str(error).lower()
        if getattr(error, "errno", None) in _NO_SPACE or any(words in text for words in _NO_SPACE_TEXTS):
            return True
        error = getattr(error, "cause", None) or error.__cause__ or error.__context__
    return False


def says_out_of_memory(message: str) -> bool:
    """Return True if a message is one of those that say that memory ran out."""
    letters = re.sub("[^a-z]", "", message.lower())
    return any(words in letters for words in _OUT_OF_MEMORY)


def is_too_small_for_batch_norm(error: BaseException) -> bool:
    """Return True if a batch norm in training mode has a single value for each channel."""
    return isinstance(error, ValueError) and "Expected more than 1 value per channel" in str(error)


def give_back_memory(device: torch.device) -> None:
    """Give back memory that nothing uses any more, after it ran out; it takes a third of a second."""
    gc.collect()
    empty_cache(device.type)


def forget_frames(error: BaseException | None) -> None:
    """Clear the frames of a traceback, which keep the tensors of the failed trial alive."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
