"""State of the machine while something is measured: its name, the load by others, and one measurement at a time."""

import getpass
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import torch

LOCK_SECONDS = 60.0
"""Longest time to wait for other measurements on this machine; then they are disturbance like any other load."""


class CpuWatch:
    """Watches this process and the CPUs of the machine from its making on; what a system does not tell is None."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._waited, self._busy, self._own = _seconds_waited(), _seconds_busy(), time.process_time()

    @property
    def seconds(self) -> float:
        """Time since the start, in s."""
        return time.perf_counter() - self._start

    def waited(self, n_threads: int) -> float | None:
        """Return the share of the time that threads of this process were ready to run, but had no CPU.

        Args:
            n_threads: number of threads that compute.
        """
        now = _seconds_waited()
        if now is None or self._waited is None:
            return None
        return min(1.0, max(0.0, now - self._waited) / (self.seconds * n_threads))

    @property
    def load(self) -> float | None:
        """Mean number of CPUs that others used."""
        now = _seconds_busy()
        if now is None or self._busy is None:
            return None
        return max(0.0, now - self._busy - (time.process_time() - self._own)) / self.seconds


def _seconds_waited() -> float | None:
    """Return the time that the threads of this process have waited for a CPU; Linux alone tells."""
    total = 0
    try:
        for task in os.scandir("/proc/self/task"):
            with suppress(FileNotFoundError, ProcessLookupError), open(f"{task.path}/schedstat") as file:
                total += int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return total / 1e9


def _seconds_busy() -> float | None:
    """Return the time that all CPUs have been busy, also with other guests of the host; Linux alone tells."""
    try:
        with open("/proc/stat") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


@cache
def device_name(device: torch.device) -> str:
    """Return the name of a processor, such as "AMD EPYC"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model"):
                return value.strip()
    return platform.processor() or platform.machine()


@cache
def boot_id() -> str:
    """Return an identifier of this start of the machine; "" where the system gives none."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def own_folder() -> Path:
    """Return the folder of this user for what holds on this machine alone; it is lost when the machine starts again.

    Raises:
        OSError: if it cannot be made.
    """
    folder = Path(tempfile.gettempdir()) / f"raynas-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait until no other process of this user measures on this machine, ``LOCK_SECONDS`` at most.

    A trial that waits leaves its CPU to its measurement, as an actor would: scripts/bench/latency_neighbours.py found
    that neighbours disturb one as they disturb the other.
    """
    try:
        import fcntl

        file = (own_folder() / "measuring.lock").open("w")
    except (ImportError, OSError, KeyError):  # Windows; no folder, or a user without a name
        yield
        return
    with file:
        end = time.monotonic() + LOCK_SECONDS
        while time.monotonic() < end:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.01)
        yield
