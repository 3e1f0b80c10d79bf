"""Is a killed library of blocks the same library? SIGKILL in the middle, run again, compare all of its files.

A library of four blocks with seven alternatives each is made by actors on this machine, once uninterrupted, and then
with kills of the driver at random moments, after each of which the same call continues it. Printed is for each kill how
many alternatives were finished, and in the end whether records and weights equal the uninterrupted ones, and whether
a file that was finished was written again.

    python scripts/bench/kill_blocks.py --kills 5
"""

import argparse
import json
import multiprocessing
import random
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import ray
import torch

import raynas

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the modules beside this file
from scripts.bench.assemblies import ALTERNATIVES, cases


def make(folder: Path, n_blocks: int, workers: int) -> None:
    """Make the library, or continue it."""
    if workers:
        ray.init(
            "local", num_cpus=workers, include_dashboard=False, log_to_driver=False, object_store_memory=150 * 2**20
        )
    torch.set_num_threads(1)
    torch.manual_seed(0)
    case = cases("", n_blocks, quick=n_blocks < 4)["digits"]
    model = case.make().eval()
    raynas.block_library(model, case.example, case.training, folder, alternatives=ALTERNATIVES, workers=workers)


def start(folder: Path, n_blocks: int, workers: int) -> BaseProcess:
    """Start to make the library, or continue it, in another process; a copy of this one if that makes it by itself."""
    context: Any = multiprocessing.get_context("fork" if not workers and sys.platform == "linux" else "spawn")
    process: BaseProcess = context.Process(target=make, args=(folder, n_blocks, workers))
    process.start()
    return process


def finish(process: BaseProcess) -> None:
    """Wait for the end.

    Raises:
        SystemExit: if the process failed.
    """
    process.join()
    if process.exitcode:
        raise SystemExit(f"the library failed with exit code {process.exitcode}")


def records(folder: Path) -> list[Path]:
    """Return the records of alternatives that are finished."""
    return sorted(folder.glob("[0-9]*.json"))


def kill_after(process: BaseProcess, folder: Path, n: int, delay: float) -> None:
    """SIGKILL the driver some time after ``n`` alternatives were finished, unless it has ended."""
    while process.is_alive() and len(records(folder)) < n:
        time.sleep(0.01)
    time.sleep(delay)
    process.kill()
    process.join()


def contents(folder: Path) -> dict[str, object]:
    """Return what a library holds, but for the seconds that it took."""
    found: dict[str, object] = {}
    for file in sorted(each for each in folder.iterdir() if each.is_file() and not each.name.startswith(".")):
        content = file.read_bytes()
        found[file.name] = {**json.loads(content), "seconds": 0} if file.suffix == ".json" else content
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2, help="actors; 0 for the driver alone")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as temporary:
        whole, killed = Path(temporary) / "whole", Path(temporary) / "killed"
        finish(start(whole, args.blocks, args.workers))
        expected = contents(whole)
        n_records, written_again = len(records(whole)), 0
        before: dict[Path, int] = {}
        for i in range(args.kills):
            process = start(killed, args.blocks, args.workers)
            kill_after(process, killed, round(n_records * i / args.kills), rng.uniform(0, 1.5))
            now = {file: file.stat().st_mtime_ns for file in records(killed)}
            written_again += sum(now[file] != time_before for file, time_before in before.items())
            before = now
            print(f"kill {i + 1}: {len(now)} of {n_records} alternatives were finished", flush=True)
        finish(start(killed, args.blocks, args.workers))
        now = {file: file.stat().st_mtime_ns for file in records(killed)}
        written_again += sum(now[file] != time_before for file, time_before in before.items())
        is_equal = contents(killed) == expected
    print(f"kills {args.kills}, files {len(expected)}, equal {is_equal}, finished and written again {written_again}")


if __name__ == "__main__":
    main()
