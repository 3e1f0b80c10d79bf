"""Isolation of a trial: the global state of the process is afterwards as it was before.

A training function may switch gradients off, change the default dtype, the working folder or the environment, and not
switch back. Other trials run in the same process later, so all of this is restored after each of them.
"""

import contextlib
import logging
import random
from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np
import torch
from numpy.random import mtrand

from raynas.errors import one_line
from raynas.isolation.process_state import process_settings
from raynas.isolation.setting import Setting
from raynas.isolation.torch_state import torch_settings

logger = logging.getLogger(__name__)

_UNREADABLE = object()
"""Value of a setting that cannot be read: torch refuses after a mix of its old and new names for precision."""


class OwnState:
    """Global state as a trial left it at the end of an epoch, where that differs from the state of the process."""

    def __init__(self) -> None:
        self.settings: dict[str, object] = {}
        self.autograd: tuple[bool, bool] | None = None


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
    with (
        _generators(_spare_generator()),
        torch.inference_mode(autograd[0]),
        torch.inference_mode((own.autograd or autograd)[0]),
    ):
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
def seeded(seed: int) -> Iterator[None]:
    """Run a part with global generators of Python, numpy and torch (on the CPU) that are seeded, and restore them."""
    with _generators(np.random.MT19937(0)):  # no spare one, which an outer context may be using
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)
        yield


@contextlib.contextmanager
def _generators(meanwhile: np.random.MT19937) -> Iterator[None]:
    """Leave the generators of Python, numpy and torch as they are; numpy's is replaced, since copying takes 150 us."""
    python, numpy, state = random.getstate(), mtrand.get_bit_generator(), torch.get_rng_state()
    mtrand.set_bit_generator(meanwhile)
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
def _settings() -> Mapping[str, Setting]:
    return {**torch_settings(), **process_settings()}
