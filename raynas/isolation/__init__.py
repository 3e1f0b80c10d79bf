"""Isolation of a trial: the global state of the process is afterwards as it was before.

A training function may switch gradients off, change the default dtype, the working folder or the environment, and not
switch back. Other trials run in the same process later, so all of this is restored after each of them.
"""

import contextlib
import gc
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.random import mtrand
from torch import overrides
from torch.nn.modules import module as torch_module
from torch.utils import _device, _python_dispatch, deterministic

from raynas.errors import one_line

logger = logging.getLogger(__name__)

_UNREADABLE = object()
"""Value of a setting that cannot be read: torch refuses after a mix of its old and new names for precision."""


class OwnState:
    """Global state as a trial left it at the end of an epoch, where that differs from the state of the process."""

    def __init__(self) -> None:
        self.settings: dict[str, object] = {}
        self.autograd: tuple[bool, bool] | None = None


class _Setting(NamedTuple):
    get: Callable[[], Any]
    set: Callable[[Any], object]


@contextlib.contextmanager
def isolated(own: OwnState | None = None) -> Iterator[None]:
    """Run a part of a trial, and leave global state of the process as it was before.

    Gradient and inference mode, default dtype and device, autocast, anomaly detection, deterministic algorithms, flags
    of cuDNN, precision and attention kernels, modes and global hooks, number of threads; working folder, environment,
    warning filters, signal handlers and timers, import path, standard streams, error handling of numpy, and the
    generators of torch, numpy and Python.

    Args:
        own: the trial's own changes. They hold again inside, as a training function that yields inside of a context
            needs it, and are updated at the end. Generators of random numbers are not among them, since
            ``seed_generators`` sets them for each epoch.
    """
    own = own or OwnState()
    before, autograd = _read(), _autograd()
    # These contexts restore even what was entered inside and never left, down to torch's dispatcher.
    with _generators(), torch.inference_mode(autograd[0]), torch.inference_mode((own.autograd or autograd)[0]):
        torch.set_grad_enabled((own.autograd or autograd)[1])
        _write(own.settings)
        try:
            yield
        finally:
            after = _read()
            changed = [name for name, value in after.items() if value is _UNREADABLE or value != before[name]]
            own.settings = {name: after[name] for name in changed}
            own.autograd = None if _autograd() == autograd else _autograd()
            _write({name: before[name] for name in changed})


def seed_generators(seed: int) -> None:
    """Seed the global generators of torch, numpy and Python with a number in [0, 2**64)."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextlib.contextmanager
def _generators() -> Iterator[None]:
    """Leave the generators of Python, numpy and torch as they are; numpy's is replaced, since copying takes 150 us."""
    python, numpy, state = random.getstate(), mtrand.get_bit_generator(), torch.get_rng_state()
    mtrand.set_bit_generator(_spare_generator())
    try:
        yield
    finally:
        random.setstate(python)
        mtrand.set_bit_generator(numpy)
        torch.set_rng_state(state)


@cache
def _spare_generator() -> np.random.MT19937:
    return np.random.MT19937(0)


def _autograd() -> tuple[bool, bool]:
    return torch.is_inference_mode_enabled(), torch.is_grad_enabled()


def _read() -> dict[str, object]:
    values = {}
    for name, setting in _settings().items():
        try:
            values[name] = setting.get()
        except (RuntimeError, OSError):
            values[name] = _UNREADABLE
    return values


def _write(values: dict[str, object]) -> None:
    for name, value in values.items():
        if value is not _UNREADABLE:
            try:
                _settings()[name].set(value)
            except Exception as error:
                logger.warning("%s could not be set back to what it was before a trial: %s", name, one_line(error))


@cache
def _settings() -> dict[str, _Setting]:
    return {
        "the default dtype": _Setting(torch.get_default_dtype, torch.set_default_dtype),
        "the default device": _Setting(_function_modes, _set_function_modes),
        "the dispatch modes": _Setting(_dispatch_modes, _set_dispatch_modes),
        "anomaly mode": _Setting(_anomaly, lambda value: torch.set_anomaly_enabled(*value)),
        "deterministic algorithms": _Setting(_deterministic, _set_deterministic),
        **_flags(),
        # After the flags, which say the same less finely: setting them sets it too.
        "the precision of matrix products": _Setting(
            torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
        ),
        "the number of threads": _Setting(torch.get_num_threads, torch.set_num_threads),
        "autocast": _Setting(_autocast, _set_autocast),
        "global hooks of modules": _Setting(_module_hooks, _set_module_hooks),
        "the working folder": _Setting(os.getcwd, os.chdir),
        "the environment": _Setting(os.environ._data.copy, _set_environment),  # type: ignore[attr-defined]
        "warning filters": _Setting(lambda: list(warnings.filters), _set_warning_filters),
        "signal handlers": _Setting(_signal_handlers, _set_signal_handlers),
        "the import path": _Setting(lambda: list(sys.path), lambda value: sys.path.__setitem__(slice(None), value)),
        "standard output": _Setting(lambda: sys.stdout, partial(setattr, sys, "stdout")),
        "standard error": _Setting(lambda: sys.stderr, partial(setattr, sys, "stderr")),
        "the recursion limit": _Setting(sys.getrecursionlimit, sys.setrecursionlimit),
        "garbage collection": _Setting(gc.isenabled, lambda value: gc.enable() if value else gc.disable()),
        "the level of logging": _Setting(lambda: logging.root.manager.disable, logging.disable),
        "numpy's error handling": _Setting(np.geterr, lambda value: np.seterr(**value)),
    }


# --- torch -----------------------------------------------------------------------------------------------------------


def _flags() -> dict[str, _Setting]:
    """Return the flags of torch's back ends that this release of torch has."""
    backends = torch.backends
    reduced = [f"allow_{kind}_reduced_precision_reduction" for kind in ("fp16", "bf16")]
    groups: Sequence[tuple[str, Any, Sequence[str]]] = [
        ("cudnn", backends.cudnn, ("enabled", "benchmark", "benchmark_limit", "deterministic", "allow_tf32")),
        ("cuda.matmul", backends.cuda.matmul, ("allow_tf32", *reduced, "allow_fp16_accumulation")),
        ("mkldnn", backends.mkldnn, ("enabled", "deterministic", "allow_tf32")),
        ("deterministic", deterministic, ("fill_uninitialized_memory",)),
    ]
    return {
        **{
            f"torch.backends.{group}.{name}": _Setting(partial(getattr, module, name), partial(setattr, module, name))
            for group, module, names in groups
            for name in names
            if _has(module, name)
        },
        **{
            f"torch.backends.cuda.{kind}_sdp": _Setting(
                getattr(backends.cuda, f"{kind}_sdp_enabled"), getattr(backends.cuda, f"enable_{kind}_sdp")
            )
            for kind in ("flash", "mem_efficient", "math", "cudnn")
        },
    }


def _has(module: ModuleType, name: str) -> bool:
    try:
        getattr(module, name)
    except AttributeError:
        return False
    except RuntimeError:  # it exists, and cannot be read now
        return True
    return True


def _function_modes() -> tuple[object, ...]:
    """Return the stack of modes, among them the default device; that of ``torch.set_default_device`` comes first."""
    default = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return (default, _device.CURRENT_DEVICE, *overrides._get_current_function_mode_stack())


def _set_function_modes(value: tuple[Any, ...]) -> None:
    default, device, *modes = value
    for _ in overrides._get_current_function_mode_stack():
        overrides._pop_mode()
    for mode in modes:
        overrides._push_mode(mode)
    torch._GLOBAL_DEVICE_CONTEXT.device_context = default
    _device.CURRENT_DEVICE = device


def _dispatch_modes() -> tuple[object, ...]:
    return tuple(_python_dispatch._get_current_dispatch_mode_stack())


def _set_dispatch_modes(value: tuple[Any, ...]) -> None:
    for _ in _python_dispatch._get_current_dispatch_mode_stack():
        _python_dispatch._pop_mode()
    for mode in value:
        _python_dispatch._push_mode(mode)


def _anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _autocast() -> tuple[object, ...]:
    devices = [(torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in ("cpu", "cuda")]
    return (torch.is_autocast_cache_enabled(), *devices)


def _set_autocast(value: tuple[Any, ...]) -> None:
    cached, *devices = value
    torch.set_autocast_cache_enabled(cached)
    for device, (enabled, dtype) in zip(("cpu", "cuda"), devices, strict=True):
        torch.set_autocast_enabled(device, enabled)
        torch.set_autocast_dtype(device, dtype)
    torch.clear_autocast_cache()


_HOOKS = [name for name in vars(torch_module) if name.startswith("_global_")]


def _module_hooks() -> dict[str, object]:
    hooks = {name: getattr(torch_module, name) for name in _HOOKS}
    return {name: dict(value) if isinstance(value, dict) else value for name, value in hooks.items() if value}


def _set_module_hooks(value: dict[str, Any]) -> None:
    for name in _HOOKS:
        hooks = getattr(torch_module, name)
        if isinstance(hooks, dict):
            hooks.clear()
            hooks.update(value.get(name, {}))
        else:
            setattr(torch_module, name, value.get(name))


# --- the process -----------------------------------------------------------------------------------------------------


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
