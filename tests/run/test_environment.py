import logging
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from raynas.run.environment import environment, quiet_tune, terminate_as_interrupt


def test_variables_of_the_user_keep_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYNAS_TEST_MINE", "mine")
    monkeypatch.delenv("RAYNAS_TEST_NEW", raising=False)
    with environment({"RAYNAS_TEST_MINE": "other", "RAYNAS_TEST_NEW": "new"}):
        assert os.environ["RAYNAS_TEST_MINE"] == "mine"
        assert os.environ["RAYNAS_TEST_NEW"] == "new"
    assert os.environ["RAYNAS_TEST_MINE"] == "mine"
    assert "RAYNAS_TEST_NEW" not in os.environ


def test_tune_is_quiet_for_a_while() -> None:
    logger = logging.getLogger("ray.tune")
    before = logger.level
    with pytest.raises(RuntimeError), quiet_tune():
        assert not logger.isEnabledFor(logging.ERROR)
        raise RuntimeError
    assert logger.level == before


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Python's reaction to SIGINT: Tune leaves its own behind, which only ends the search that is running."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_sigterm_is_an_interrupt(interrupts: None) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), terminate_as_interrupt():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_threads_leave_signals_alone() -> None:
    before, during = signal.getsignal(signal.SIGTERM), []

    def run() -> None:
        with terminate_as_interrupt():
            during.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert during == [before]
