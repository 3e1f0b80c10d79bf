"""Ten thousand trials: the driver's CPU time, its memory and its files as a search grows, and the time to resume.

Trivial trials (see ``overhead.py``) run through ``raynas.search``, whose driver is killed shortly before the end and
started again by the same call; plain Tune runs the same, with raynas's fast settings and with its default loggers.
Each driver is another process. Prints a line whenever a number of trials has ended: CPU milliseconds per trial
since the line before, resident memory, and files and folders of the results.

    python -m scripts.bench.many_trials --trials 10000 --plain 10000 --loggers 500
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune

from raynas.run.environment import FAST_SETTINGS
from scripts.bench import overhead

KEPT_BACK = 20
"""Number of trials that a killed search still lacks."""


class Watch(tune.Callback):
    """Prints what the driver has used whenever some more trials have ended, and kills it at a number of them.

    Args:
        folder: of the results.
        every: number of trials between two lines; 0 for a line after the first trial alone.
        kill_at: number of trials that have ended when the driver is killed; 0 for never.
    """

    def __init__(self, folder: Path, every: int, kill_at: int = 0) -> None:
        self._folder, self._every, self._kill_at = folder, every, kill_at
        self._n, self._n_told, self._cpu = 0, 0, time.process_time()

    def on_trial_complete(self, iteration: int, trials: Sequence[object], trial: object, **info: object) -> None:
        """Count a trial."""
        self._n += 1
        if self._n == 1 or (self._every and self._n % self._every == 0):
            self.tell()
        if self._n == self._kill_at:
            self.tell()
            os.kill(os.getpid(), signal.SIGKILL)

    def tell(self) -> None:
        """Print what was used so far."""
        cpu = time.process_time()
        paths = [path for _, folders, files in os.walk(self._folder) for path in (len(folders), len(files))]
        line = {
            "trials": self._n,
            "cpu_s": cpu,
            "cpu_ms_per_trial": 1000 * (cpu - self._cpu) / max(self._n - self._n_told, 1),
            "megabytes": resident_megabytes(),
            "folders": sum(paths[::2]),
            "files": sum(paths[1::2]),
        }
        print(json.dumps(line), flush=True)
        self._n_told, self._cpu = self._n, time.process_time()  # without the count of the files


def resident_megabytes() -> float:
    """Return the memory of this process; where the system tells no current value, its maximum."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def drive(kind: str, trials: int, folder: Path, every: int, kill_at: int) -> None:
    """Run one search in this process."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    watch = Watch(folder, every, kill_at)
    if kind == "raynas":
        overhead.ours(trials, 2, folder, [watch])
    else:
        if kind == "loggers":
            del FAST_SETTINGS["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"]
        overhead.plain(trials, 2, folder, [watch])
    watch.tell()


def driver(kind: str, trials: int, folder: Path, every: int, *, kill_at: int = 0) -> list[dict[str, Any]]:
    """Run one search in another process; return its lines, each with the seconds since its start."""
    command = [sys.executable, "-m", "scripts.bench.many_trials", "--drive", kind, "--trials", str(trials)]
    command += ["--folder", str(folder), "--every", str(every), "--kill_at", str(kill_at)]
    began, lines = time.monotonic(), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for text in process.stdout:
            if text.startswith("{"):
                lines.append({"run": kind, **json.loads(text), "seconds": time.monotonic() - began})
                print(json.dumps(lines[-1]), flush=True)
    assert process.returncode == (-signal.SIGKILL if kill_at else 0), f"{kind} ended with {process.returncode}"
    return lines


def resumed(trials: int, every: int, folder: Path) -> dict[str, float]:
    """Run a search, kill it shortly before its end, and continue it; return what passed until a first trial ended.

    Args:
        trials: number of them that the search has in the end.
        every: number of trials between two lines.
        folder: of the results.
    """
    begun = driver("raynas", trials, folder, every, kill_at=trials - KEPT_BACK)[0]
    again = driver("raynas", trials, folder, 0)[0]
    searches = {"new": begun, "resumed": again}
    took = {f"{name}, {kind}": line[name] for name in ("seconds", "cpu_s") for kind, line in searches.items()}
    print(json.dumps({"until the first trial ended": took}), flush=True)
    return took


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--plain", type=int, default=10_000, help="trials of plain Tune with fast settings")
    parser.add_argument("--loggers", type=int, default=500, help="trials of plain Tune with its default loggers")
    parser.add_argument("--every", type=int, default=1000, help="trials between two lines")
    parser.add_argument("--drive", choices=("raynas", "plain", "loggers"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--kill_at", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.drive:
        drive(args.drive, args.trials, args.folder, args.every, args.kill_at)
        return
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("raynas", "plain", "loggers"):
            (Path(folder) / kind).mkdir()
        if args.trials:
            resumed(args.trials, args.every, Path(folder) / "raynas")
        for kind, trials in (("plain", args.plain), ("loggers", args.loggers)):
            if trials:
                driver(kind, trials, Path(folder) / kind, min(args.every, trials))


if __name__ == "__main__":
    main()
