"""Latency by a command of the user's, which gets the exported file of a network and prints milliseconds."""

import math
import os
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from raynas.errors import RaynasError, SettingError
from raynas.metrics.latency.deployment import SUFFIXES, Deployment
from raynas.metrics.latency.machine import one_at_a_time
from raynas.metrics.latency.sample import spread_of
from raynas.metrics.latency.settings import LatencySettings
from raynas.metrics.latency.timing import Timing
from raynas.metrics.latency.trust import MAX_SPREAD
from raynas.user_code import split_reference
from raynas.validate import positive

MAX_OUTPUT = 2**16
"""Largest number of bytes of an output; it is a few numbers."""

CALL = "import sys; from raynas.user_code import load_function; print(load_function(sys.argv[1])(sys.argv[2]))"
"""Program that calls a function: in a separate process it can be ended, and leaves nothing behind."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A measurement of the user's.

    Args:
        text: ``package.module:function``, a function that gets the path of the file and returns milliseconds; or an
            executable with its arguments, to which the path is added, that prints them: one number, or the times of
            several runs, one a line.
        seconds: time after which a measurement has failed.

    Raises:
        SettingError: if the text is empty, or the time is not positive.
    """

    text: str
    seconds: float = 300.0

    def __post_init__(self) -> None:
        if not shlex.split(self.text):
            raise SettingError("measure must be module:function or an executable, got an empty text")
        positive("time_limit", self.seconds)

    @property
    def arguments(self) -> list[str]:
        """The arguments of the process, without the path of the file.

        Raises:
            RaynasError: if there is no such executable here.
        """
        with suppress(SettingError):
            split_reference(self.text)
            return [sys.executable, "-c", CALL, self.text]
        program, *arguments = shlex.split(self.text)
        found = shutil.which(program)
        if found is None:
            raise RaynasError(f"there is no executable {program!r} here: give its whole path")
        return [found, *arguments]

    def run(self, path: Path) -> list[float]:
        """Return the times, in ms, that the command prints for a file.

        Raises:
            RaynasError: if it fails, takes too long, or prints something else.
        """
        arguments = [*self.arguments, str(path)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=environment,
                start_new_session=True,
            )
            try:
                code = process.wait(self.seconds)
            except subprocess.TimeoutExpired:
                raise RaynasError(
                    f"{self.text!r} took longer than {self.seconds:g} s; time_limit allows more"
                ) from None
            finally:
                _end(process)
            for file in (output, errors):
                file.seek(0)
            printed, said = (file.read(MAX_OUTPUT).decode(errors="replace") for file in (output, errors))
        if code:
            last = next(reversed([line for line in said.splitlines() if line.strip()]), "it said nothing")
            raise RaynasError(f"{self.text!r} failed with exit status {code}: {last.strip()[:300]}")
        return self._read(printed)

    def _read(self, printed: str) -> list[float]:
        lines = printed.split("\n")
        values = [line.strip() for line in lines if line.strip()]
        try:
            times = [float(value) for value in values]
        except ValueError as error:
            raise RaynasError(f"{self.text!r} must print milliseconds, one number a line: {error}") from None
        if not times or not all(math.isfinite(ms) and ms > 0 for ms in times):
            raise RaynasError(f"{self.text!r} must print milliseconds above 0, it printed {printed.strip()[:100]!r}")
        return times


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process with all that it started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
        process.wait()


def time_by_command(deployment: Deployment, command: Command, settings: LatencySettings, device: str) -> Timing:
    """Measure the latency of a network by a command of the user's.

    Args:
        deployment: the network, in a form that is a file.
        command: the command.
        settings: of the network; threads and device are those of the command.
        device: name of the device, for the provenance.

    Raises:
        RaynasError: if the command fails.
    """
    with tempfile.TemporaryDirectory() as folder, one_at_a_time():
        path = Path(folder) / f"model{SUFFIXES[deployment.form]}"
        path.write_bytes(deployment.file)
        times = command.run(path)
    spread = spread_of(times) if len(times) > 1 else None
    doubt = f"the times that {command.text!r} printed spread by {spread:.0%}" if spread and spread > MAX_SPREAD else ""
    return Timing(
        ms=statistics.median(times),
        spread=spread,
        backend=command.text,
        version="",
        device=device,
        n_threads=settings.n_threads,
        batch_size=settings.batch_size,
        dtype=settings.dtype,
        n_runs=len(times),
        doubt=doubt,
    )
