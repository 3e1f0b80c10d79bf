"""Isolation: what a trial changes in the process is as before for the next one, and still there for itself."""

import contextlib
import gc
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.overrides import BaseTorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from raynas.isolation import OwnState, isolated, seed_generators, seeded


class Passing(TorchDispatchMode):
    """A mode that changes nothing."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def entered(context: Any) -> Any:
    """Enter a context and keep it: one that is collected would end."""
    context.__enter__()
    return context


def warning_is_an_error() -> bool:
    try:
        warnings.warn("x", UserWarning, stacklevel=1)
    except UserWarning:
        return True
    return False


CHANGES: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "gradients": (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled),
    "inference mode": (lambda: entered(torch.inference_mode()), torch.is_inference_mode_enabled),
    "no_grad": (lambda: entered(torch.no_grad()), torch.is_grad_enabled),
    "dtype": (lambda: torch.set_default_dtype(torch.float64), lambda: torch.ones(1).dtype),
    "device": (lambda: torch.set_default_device("meta"), lambda: torch.ones(1).device),
    "device context": (lambda: entered(torch.device("meta")), lambda: torch.ones(1).device),
    "function mode": (lambda: entered(BaseTorchFunctionMode()), torch._C._len_torch_function_stack),
    "dispatch mode": (lambda: entered(Passing()), torch._C._len_torch_dispatch_stack),
    "anomaly": (lambda: torch.autograd.set_detect_anomaly(True), torch.is_anomaly_enabled),
    "deterministic": (
        lambda: torch.use_deterministic_algorithms(True, warn_only=True),
        lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
    ),
    "benchmark": (
        lambda: setattr(torch.backends.cudnn, "benchmark", not torch.backends.cudnn.benchmark),
        lambda: torch.backends.cudnn.benchmark,
    ),
    "cudnn": (
        lambda: setattr(torch.backends.cudnn, "deterministic", not torch.backends.cudnn.deterministic),
        lambda: torch.backends.cudnn.deterministic,
    ),
    "matmul": (lambda: torch.set_float32_matmul_precision("medium"), torch.get_float32_matmul_precision),
    "tf32": (
        lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
        lambda: torch.backends.cuda.matmul.allow_tf32,
    ),
    "attention": (lambda: torch.backends.cuda.enable_flash_sdp(False), torch.backends.cuda.flash_sdp_enabled),
    "threads": (lambda: torch.set_num_threads(torch.get_num_threads() + 1), torch.get_num_threads),
    "autocast": (
        lambda: entered(torch.autocast("cpu", torch.bfloat16)),
        lambda: (torch.ones(2, 2) @ torch.ones(2, 2)).dtype,
    ),
    "module hooks": (
        lambda: register_module_forward_hook(lambda module, inputs, output: output + 1),
        lambda: nn.Identity()(torch.zeros(())).item(),
    ),
    "folder": (lambda: os.chdir(Path(__file__).parent), os.getcwd),
    "variable added": (lambda: os.environ.update(RAYNAS_TEST="1"), lambda: os.environ.get("RAYNAS_TEST")),
    "variable removed": (lambda: os.environ.pop("OMP_NUM_THREADS"), lambda: os.environ.get("OMP_NUM_THREADS")),
    "warnings": (lambda: warnings.simplefilter("ignore"), warning_is_an_error),
    "handler": (
        lambda: signal.signal(signal.SIGTERM, lambda *_: None),
        lambda: signal.getsignal(signal.SIGTERM),
    ),
    "import path": (lambda: sys.path.insert(0, "/nowhere"), lambda: sys.path[0]),
    "standard output": (lambda: entered(contextlib.redirect_stdout(None)), lambda: sys.stdout),
    "recursion": (lambda: sys.setrecursionlimit(5000), sys.getrecursionlimit),
    "garbage": (gc.disable, gc.isenabled),
    "logging": (lambda: logging.disable(logging.CRITICAL), lambda: logging.getLogger("x").isEnabledFor(logging.ERROR)),
    "division": (lambda: np.seterr(divide="raise"), lambda: np.geterr()["divide"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_ends_with_the_trial_and_holds_within_it(change: str) -> None:
    make, see = CHANGES[change]
    own, before = OwnState(), see()
    with isolated(own):
        kept = make()
        changed = see()
    assert changed != before and see() == before
    with isolated():
        assert see() == before  # another trial in between
    with isolated(own):
        assert see() == changed
    assert see() == before
    del kept
    gc.collect()
    assert see() == before


def test_a_trial_that_undoes_its_change_has_none() -> None:
    own = OwnState()
    with isolated(own):
        torch.set_default_dtype(torch.float64)
    with isolated(own):
        torch.set_default_dtype(torch.float32)
    torch.set_default_dtype(torch.float64)
    try:
        with isolated(own):
            assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, lambda: torch.device("meta")])
def test_a_generator_may_be_suspended_inside_of_a_context(context: Callable[[], Any]) -> None:
    def train() -> Iterator[object]:
        for _ in range(2):
            with context():
                yield state()
            yield state()

    def state() -> object:
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.ones(1).device.type

    def advance() -> object:
        with isolated(own):
            return next(trial)

    own, trial, outside = OwnState(), train(), state()
    inside = [advance() for _ in range(4)]
    assert inside == [inside[0], outside, inside[0], outside] and inside[0] != outside
    assert state() == outside
    weight = torch.ones(1, requires_grad=True)
    (weight * 2).sum().backward()
    assert weight.grad is not None


def test_what_the_process_was_set_to_before_stays() -> None:
    with torch.no_grad():
        with isolated():
            assert not torch.is_grad_enabled()
            torch.set_grad_enabled(True)
        assert not torch.is_grad_enabled()


def test_state_is_restored_after_an_exception() -> None:
    with pytest.raises(KeyError), isolated():
        torch.set_default_dtype(torch.float64)
        raise KeyError
    assert torch.get_default_dtype() == torch.float32


def test_generators_of_random_numbers_are_left_alone() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = [draw(), draw()]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    first = draw()
    with isolated():
        seed_generators(2**63 + 5)
        inside = draw()
    assert [first, draw()] == expected
    with isolated():
        draw()
        seed_generators(2**63 + 5)
        assert draw() == inside


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no timers")
def test_a_timer_of_a_trial_does_not_end_the_next() -> None:
    before = signal.setitimer(signal.ITIMER_REAL, 0)  # the limit of this test
    try:
        with isolated():
            signal.signal(signal.SIGALRM, lambda *_: None)
            signal.setitimer(signal.ITIMER_REAL, 1000)
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="this torch has one name for precision only")
def test_precision_under_both_of_its_names() -> None:
    """After a mix of them, torch may refuse to say what is set."""
    with isolated():
        torch.backends.cuda.matmul.fp32_precision = "tf32"
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32


def test_the_handlers_of_signals_are_the_main_threads() -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with isolated():
                torch.set_default_dtype(torch.float64)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not errors and torch.get_default_dtype() == torch.float32


def test_a_folder_that_is_gone_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    home, folder = Path.cwd(), tmp_path / "gone"
    folder.mkdir()
    os.chdir(folder)
    try:
        with isolated():
            os.chdir(home)
            folder.rmdir()
        assert "the working folder could not be set back" in caplog.text
        os.chdir(home)
    finally:
        os.chdir(home)


def test_a_seeded_part_leaves_generators_as_they_were_also_inside_of_a_trial() -> None:
    def drawn() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(1))

    with isolated():
        seed_generators(1)
        expected = [drawn(), drawn()]
        seed_generators(1)
        found = [drawn()]
        with seeded(0):
            first = drawn()
        found.append(drawn())
    assert found == expected
    with seeded(0):
        assert drawn() == first
