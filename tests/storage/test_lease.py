import threading
import time
from pathlib import Path

import pytest

from raynas.errors import BusyError
from raynas.storage import lease
from raynas.storage.bucket import Bucket
from raynas.storage.lease import Lease
from tests.flaky_storage import flaky


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(lease, "QUIET_SECONDS", 0.3)
    monkeypatch.setattr(lease, "CONFIRM_SECONDS", 0.0)


def bucket(folder: Path) -> Bucket:
    return Bucket(flaky(folder), "there", "test:there")


def test_a_lease_that_was_given_back_is_free_at_once(tmp_path: Path) -> None:
    first, second = Lease(bucket(tmp_path)), Lease(bucket(tmp_path))
    first.take("", 4)
    assert first.generation == 5
    first.release()
    began = time.monotonic()
    second.take("", 4)
    assert second.generation == 5 and time.monotonic() - began < 0.25


def test_the_last_driver_of_this_machine_is_known_to_be_gone(tmp_path: Path) -> None:
    first, second = Lease(bucket(tmp_path)), Lease(bucket(tmp_path))
    first.take("", 0)
    began = time.monotonic()
    second.take(first.holder, 0)
    assert second.generation == 2 and time.monotonic() - began < 0.25


def test_a_silent_driver_of_another_machine_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = Lease(bucket(tmp_path)), Lease(bucket(tmp_path))
    first.take("", 0)
    began = time.monotonic()
    second.take("", 0)
    assert time.monotonic() - began >= 0.3
    assert "was writing to test:there: it is taken over if it stays silent" in caplog.text
    with pytest.raises(BusyError, match=r"another driver \(.*\) has taken over .*; this one ends"):
        first.beat() or time.sleep(0.1) or first.beat()  # type: ignore[func-returns-value]
    first.release()
    second.check()


def test_a_driver_that_beats_is_left_alone(tmp_path: Path) -> None:
    first, ends = Lease(bucket(tmp_path)), threading.Event()
    first.take("", 0)

    def beat() -> None:
        while not ends.wait(0.02):
            first.beat()

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(BusyError, match=r"another driver \(.*\) runs this search in test:there: wait"):
            Lease(bucket(tmp_path)).take("", 0)
    finally:
        ends.set()
        thread.join()
    first.check()


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"holder": "x", "generation": 1, "beat": 1, "host": ""}'])
def test_a_damaged_lease_is_replaced_if_it_stays_so(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    bucket(tmp_path).write("driver.json", content)
    taken = Lease(bucket(tmp_path))
    began = time.monotonic()
    taken.take("", 7)
    assert taken.generation == 8 and time.monotonic() - began >= 0.3
    assert "another driver (unknown) was writing to test:there" in caplog.text
    taken.check()
