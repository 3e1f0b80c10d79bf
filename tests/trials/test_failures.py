"""Failures in one line."""

import gc
import weakref
from collections.abc import Callable

import pytest
import torch

from raynas.errors import RaynasError
from raynas.trials.failures import forget_frames, is_out_of_memory, reason_of


def caught(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as raised:
        return raised


def test_the_reason_says_where() -> None:
    assert reason_of(caught(KeyError("x"))).startswith("KeyError: 'x' (test_failures.py, line ")
    assert reason_of(caught(RaynasError("two\nlines"))) == "two lines"
    assert reason_of(ValueError("never raised")) == "ValueError: never raised"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("boom"), False),
    ],
)
def test_memory_that_runs_out(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
    assert ("a smaller batch_size or network may fit" in reason_of(error)) is expected


def test_frames_let_go_of_what_they_hold() -> None:
    class Held:
        pass

    def fail() -> None:
        held = Held()
        kept.append(weakref.ref(held))
        try:
            raise KeyError("first")
        except KeyError as error:
            raise RuntimeError("second") from error

    kept: list[weakref.ref[Held]] = []
    gc.disable()
    try:
        error = caught_in(fail)
        assert kept[0]() is not None
        forget_frames(error)
        assert kept[0]() is None
    finally:
        gc.enable()


def caught_in(action: Callable[[], None]) -> BaseException:
    try:
        action()
    except Exception as error:
        return error
    raise AssertionError
