"""Is a killed search the same search? SIGKILL at random moments, resume, compare with an uninterrupted run.

One trial at a time, evolution + ASHA on digits, the same seed. Prints for every kill when it came and whether the
evaluated architectures, their order, status and accuracy equal those of the uninterrupted run.

    python scripts/bench/kill_resume.py --kills 5
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from raynas.core.archive import Archive

SEARCH = """
import sys
import ray
from ray import tune
import raynas
from raynas.search_spaces import CNN
from raynas.strategies import Asha, RegularizedEvolution
from raynas.trials import Training

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
raynas.search(
    CNN(input_shape=(1, 8, 8)),
    Training(data="digits", epochs=4),
    RegularizedEvolution(population_size=6, tournament_size=3, early_stopping=Asha()),
    num_samples=int(sys.argv[2]),
    max_concurrent=1,
    seed=0,
    progress=False,
    run_config=tune.RunConfig(storage_path=sys.argv[1], name="search"),
)
"""


def start(folder: Path, trials: int) -> subprocess.Popen[bytes]:
    """Start the search in a separate process group, so that a kill ends all of it."""
    return subprocess.Popen(
        [sys.executable, "-c", SEARCH, str(folder), str(trials)], start_new_session=True, stderr=subprocess.DEVNULL
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL the driver; Ray's own processes notice that it is gone and leave."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def outcome(folder: Path) -> list[tuple[str, str, int, float]]:
    """Return the evaluations in order: architecture, status, epochs, accuracy."""
    evaluations = Archive.load(folder / "search" / "archive.jsonl").evaluations
    return [(e.arch.key, e.status, e.fidelity, round(e.metrics.get("accuracy", -1.0), 6)) for e in evaluations]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--trials", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary) / "whole"
        began = time.monotonic()
        if start(whole, args.trials).wait():
            raise SystemExit("the uninterrupted search failed")
        seconds = time.monotonic() - began
        expected = outcome(whole)
        print(f"uninterrupted: {len(expected)} trials in {seconds:.0f} s", flush=True)
        equal = 0
        for i in range(args.kills):
            folder = Path(temporary) / f"killed_{i}"
            process = start(folder, args.trials)
            moment = rng.uniform(0.2, 0.95) * seconds
            time.sleep(moment)
            kill(process)
            archive = folder / "search" / "archive.jsonl"
            before = len(outcome(folder)) if archive.exists() else 0
            if start(folder, args.trials).wait():
                raise SystemExit("the resumed search failed")
            same = outcome(folder) == expected
            equal += same
            print(f"killed after {moment:5.1f} s with {before:2d} trials done: equal after resume: {same}", flush=True)
        print(f"{equal} of {args.kills} resumed searches equal the uninterrupted one")


if __name__ == "__main__":
    main()
