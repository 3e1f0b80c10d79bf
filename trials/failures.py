"""Failures of trials: the reason in one line, and the memory that a traceback holds."""

import traceback
from pathlib import Path

import torch

from raynas.errors import RaynasError, one_line


def reason_of(error: BaseException) -> str:
    """Return the reason in one line, with the file and line of the code that raised it."""
    if isinstance(error, RaynasError):
        return one_line(error)
    hint = "out of memory, a smaller batch_size or network may fit: " if is_out_of_memory(error) else ""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{hint}{one_line(error)}{where}"


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if memory ran out, of the CPU or the GPU."""
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or "can't allocate" in str(error)


def forget_frames(error: BaseException | None) -> None:
    """Clear the frames of a traceback, which keep the tensors of the failed trial alive."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
