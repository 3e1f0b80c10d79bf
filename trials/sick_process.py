"""Errors after which a process can compute nothing more, such as those that a CUDA context does not survive."""

import os
import re
import threading
from collections.abc import Mapping

from raynas.errors import RaynasError
from raynas.trials.failures import says_out_of_memory

_SICK = re.compile(
    r"(CUDA|HIP) (driver )?error|cudaError|device-side assert|illegal memory access|unspecified launch failure"
    r"|misaligned address|illegal instruction was encountered|uncorrectable ECC|GPU has fallen off|device is lost"
    r"|(CUBLAS|CUDNN|CUSOLVER|CUFFT|CUSPARSE|MIOPEN|NCCL)_?\w*(INTERNAL_ERROR|EXECUTION_FAILED|MAPPING_ERROR)",
    re.IGNORECASE,
)


EXIT_SECONDS = 5.0
"""Time between the failure that shows that a process is sick, and its end."""


class SickProcessError(RaynasError):
    """A trial failed because its process can compute nothing more: it is not the trial's own doing."""


def is_sick(reason: str) -> bool:
    """Return True if the reason of a failure, in words of CUDA, ROCm or their libraries, spoils its whole process.

    A GPU that ran out of memory does not: the next trial finds all of it.
    """
    return not says_out_of_memory(reason) and _SICK.search(reason) is not None


def refuse_sick(result: Mapping[str, object]) -> None:
    """Raise where a failed result shows that its process is sick, so that the process is given up.

    Args:
        result: of a trial, with ``failed`` and the reason under ``error``.

    Raises:
        SickProcessError: if it is.
    """
    if result.get("failed") and is_sick(str(result.get("error", ""))):
        raise SickProcessError(str(result["error"]))


def end_process_soon() -> None:
    """End this process when its last answer is out, however long a sick device takes to let go of it."""
    timer = threading.Timer(EXIT_SECONDS, os._exit, (1,))
    timer.daemon = True
    timer.start()
