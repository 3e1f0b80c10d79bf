"""The machine tells if it is busy, and one process measures at a time."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from raynas.metrics.latency import machine
from raynas.metrics.latency.machine import CpuWatch, device_name, one_at_a_time, own_folder

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")

SPIN = "while True: pass"


@linux
def test_waiting_for_a_cpu_is_seen() -> None:
    import os

    before = os.sched_getaffinity(0)
    cpu = min(before)
    other = subprocess.Popen([sys.executable, "-c", f"import os; os.sched_setaffinity(0, [{cpu}])\n{SPIN}"])
    try:
        os.sched_setaffinity(0, [cpu])
        deadline = time.monotonic() + 60
        while True:  # the other needs a moment to start
            watch, end = CpuWatch(), time.thread_time() + 0.1
            while time.thread_time() < end:
                pass
            waited, load = watch.waited(1), watch.load
            assert waited is not None and load is not None
            if (waited > 0.2 and load > 0.2) or time.monotonic() > deadline:
                break
        assert waited > 0.2 and load > 0.2
    finally:
        os.sched_setaffinity(0, before)
        other.kill()
        other.wait()


@linux
def test_sleeping_is_no_waiting() -> None:
    shares = []
    for _ in range(20):  # being woken up takes a moment where the machine is busy
        watch = CpuWatch()
        time.sleep(0.05)
        shares.append(watch.waited(1))
    assert min(share for share in shares if share is not None) < 0.5


def test_systems_that_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_seconds_waited", lambda: None)
    monkeypatch.setattr(machine, "_seconds_busy", lambda: None)
    assert CpuWatch().waited(1) is None and CpuWatch().load is None


def test_a_processor_has_a_name() -> None:
    assert device_name(torch.device("cpu")).strip()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks on Windows")
def test_one_measures_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "own_folder", lambda: tmp_path)
    inside, most = [0], [0]

    def measure() -> None:
        with one_at_a_time():
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.02)
            inside[0] -= 1

    threads = [threading.Thread(target=measure) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    monkeypatch.setattr(machine, "LOCK_SECONDS", 0.05)
    with one_at_a_time(), one_at_a_time():  # nobody waits for ever
        pass


def test_the_folder_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    folder = own_folder()
    assert folder.parent == tmp_path and folder == own_folder()
    if sys.platform != "win32":
        assert folder.stat().st_mode & 0o077 == 0
