"""Global state of the process: folder, environment, signals, streams and the like."""

import gc
import logging
import os
import signal
import sys
import threading
import warnings
from functools import partial
from typing import Any

import numpy as np

from raynas.isolation.setting import Setting


def process_settings() -> dict[str, Setting]:
    """Return the settings of the process by name."""
    return {
        "the working folder": Setting(os.getcwd, os.chdir),
        "the environment": Setting(os.environ._data.copy, _set_environment),  # type: ignore[attr-defined]
        "warning filters": Setting(lambda: list(warnings.filters), _set_warning_filters),
        "signal handlers": Setting(_signal_handlers, _set_signal_handlers),
        "the import path": Setting(lambda: list(sys.path), lambda value: sys.path.__setitem__(slice(None), value)),
        "standard output": Setting(lambda: sys.stdout, partial(setattr, sys, "stdout")),
        "standard error": Setting(lambda: sys.stderr, partial(setattr, sys, "stderr")),
        "the recursion limit": Setting(sys.getrecursionlimit, sys.setrecursionlimit),
        "garbage collection": Setting(gc.isenabled, lambda value: gc.enable() if value else gc.disable()),
        "the level of logging": Setting(lambda: logging.root.manager.disable, logging.disable),
        "numpy's error handling": Setting(np.geterr, lambda value: np.seterr(**value)),
    }


def _set_environment(value: dict[Any, Any]) -> None:
    """Set the environment back; the copy is one of the encoded variables, since decoding them takes 50 us."""
    before = {os.environ.decodekey(name): os.environ.decodevalue(text) for name, text in value.items()}
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update({name: text for name, text in before.items() if os.environ.get(name) != text})


def _set_warning_filters(value: list[Any]) -> None:
    warnings.filters[:] = value  # type: ignore[index]
    with warnings.catch_warnings():  # which makes Python forget what it derived from the filters
        pass


_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)  # Windows has few
]


def _signal_handlers() -> dict[Any, object]:
    """Return the handlers, and whether the timer runs that sends SIGALRM."""
    timer = hasattr(signal, "getitimer") and signal.getitimer(signal.ITIMER_REAL)[0] > 0
    return {"timer": timer, **{number: signal.getsignal(number) for number in _SIGNALS}}


def _set_signal_handlers(value: dict[Any, Any]) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # only there can handlers be set
    if not value["timer"] and hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)  # otherwise it would end the next trial
    for number in _SIGNALS:
        if value[number] is not None and signal.getsignal(number) != value[number]:
            signal.signal(number, value[number])
