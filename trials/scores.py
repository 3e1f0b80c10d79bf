"""Scores as they should be, and failures in one line."""

import math
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from raynas.errors import RaynasError, one_line

RESERVED = frozenset(("complete", "done", "error", "failed", "training_iteration"))
"""Result keys that say how a trial stands; no metric can have such a name."""


def checked_scores(scores: Mapping[str, Any]) -> dict[str, float]:
    """The scores as plain floats.

    Raises:
        RaynasError: if one is not a finite number, or has a reserved name.
    """
    if not isinstance(scores, Mapping) or not scores:
        raise RaynasError(f"scores must be a dict of numbers, got {scores!r}")
    return {name: _checked_score(name, value) for name, value in scores.items()}


def _checked_score(name: str, value: Any) -> float:
    if not isinstance(name, str) or name in RESERVED:
        raise RaynasError(f"{name!r} cannot be the name of a metric; rename it")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise RaynasError(f"metric {name!r} must be a number, got {value!r}") from None
    if not math.isfinite(number):
        raise RaynasError(f"{name} is {number}: the training diverged; a lower learning rate may help")
    return number


def plain_scalar(value: Any) -> Any:
    """BOHB hands out numpy scalars."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value


def reason_of(error: BaseException) -> str:
    """What went wrong in one line, and where in the code it did."""
    if isinstance(error, RaynasError):
        return one_line(error)
    hint = "out of memory, a smaller batch_size or network may fit: " if is_out_of_memory(error) else ""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{hint}{one_line(error)}{where}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was not enough memory, of the CPU or the GPU."""
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or "can't allocate" in str(error)


def forget_frames(error: BaseException | None) -> None:
    """Frames in a traceback hold on to the tensors of the failed trial."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
