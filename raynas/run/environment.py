"""The process that drives a search, set up for as long as the search runs: variables, log levels, signals."""

import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

FAST_SETTINGS = {
    # Tune's own CSV, JSON and TensorBoard loggers write three files a trial; the archive and one writer replace them.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Tune rewrites its whole state, 9.5 KB a trial, every 10 s; nothing here restores from it.
    "TUNE_GLOBAL_CHECKPOINT_S": "600",
    # The search itself limits the trials at a time, as the cluster grows; Tune would fix the number at the start.
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",
    # Tune's new output prints a banner even at verbose=0.
    "RAY_AIR_NEW_OUTPUT": "0",
    # Tune's error for a metric that is not reported does not name those that are.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
}
"""Environment of the driver while a search runs; variables that the user has set keep their values."""


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables that the user has not set, for the duration of the context."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def quiet_tune(quiet: bool = True) -> Iterator[None]:
    """Silence Tune's log: it misses files that are not written here, and the progress table shows failures."""
    logger = logging.getLogger("ray.tune")
    before = logger.level
    logger.setLevel(logging.CRITICAL if quiet else before)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C, on which Tune stops its trials in order; schedulers of clusters send it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
