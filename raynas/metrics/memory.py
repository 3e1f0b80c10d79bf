"""The most memory that something, such as a training, needed: of the GPU where it ran on one, else of the process.

The memory that a network needs for inference follows from its shapes, see ``inference_memory``.
"""

import contextlib
import re
import sys
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def reset_peak_memory(device: str | torch.device = "cpu") -> None:
    """Let the peak start from what is in use now.

    On Linux this resets the process's high-water mark; elsewhere it cannot be reset, and the peak is that of the whole
    process so far.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.init()  # there are no statistics before
    if kind in ("cuda", "xpu"):
        getattr(torch, kind).reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5")  # man 5 proc: resets VmHWM


def peak_memory_mb(device: str | torch.device = "cpu") -> float:
    """Return the peak of memory in use since ``reset_peak_memory``, in MB (10^6 bytes).

    On a GPU, what tensors took; on that of a Mac, what torch holds now, which it seldom gives back. On a CPU, the
    resident size of the whole process: Python and its libraries (some 300 MB with torch) and what it has read of shared
    data count, so compare values with each other, not with zero. NaN where the system does not say.
    """
    kind = torch.device(device).type
    if kind in ("cuda", "xpu"):
        return float(getattr(torch, kind).max_memory_allocated(device)) / 1e6
    if kind == "mps":
        return torch.mps.driver_allocated_memory() / 1e6
    try:
        match = re.search(r"VmHWM:\s*(\d+) kB", _STATUS.read_text())
    except OSError:
        match = None
    return int(match[1]) * 1024 / 1e6 if match else _max_rss_mb()


def _max_rss_mb() -> float:
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
