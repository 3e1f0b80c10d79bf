"""retry(): an action on a storage that fails now and then, tried again with growing pauses."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from raynas.errors import RaynasError, StorageError, one_line

RETRY_SECONDS = 300.0
"""Time after which a storage is given up: longer than the usual hiccups and failovers of one."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 10.0
"""Seconds before the first attempt after a failure, and at most before one; they double between."""

T = TypeVar("T")


def retry(action: Callable[[], T], what: str, seconds: float | None = None) -> T:
    """Return what an action returns, as soon as it does not fail.

    Args:
        action: does nothing twice if it is called twice. That a file is not found is an answer, not a failure; so is an
            error of raynas's own.
        what: the action in words, for the error.
        seconds: time after which the failure is final; default ``RETRY_SECONDS``.

    Raises:
        FileNotFoundError: if the action says so.
        StorageError: if it still fails then.
    """
    seconds = RETRY_SECONDS if seconds is None else seconds
    until, pause = time.monotonic() + seconds, FIRST_PAUSE
    while True:
        try:
            return action()
        except (FileNotFoundError, RaynasError):
            raise
        except Exception as error:  # each file system has exceptions that no other has
            if time.monotonic() + pause > until:
                raise StorageError(f"cannot {what} (tried for {seconds:.0f} s): {one_line(error)}") from error
        # Not all at one moment, after an outage that all have met.
        time.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, LONGEST_PAUSE)
