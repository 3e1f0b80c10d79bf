"""Is the killed training of a supernet the same training? SIGKILL in the middle, run again, compare loss curves.

Trains the shared weights of a small NAS-Bench-201 on digits by every method of ``raynas.oneshot.ONESHOT``, once
uninterrupted and once killed, and prints whether history, weights and derived architecture are equal.

    python scripts/bench/kill_supernet.py --methods single_path
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from raynas.core.archive import Archive
from raynas.oneshot import ONESHOT

TRAINING = """
import sys
import ray
from ray import tune
import raynas
from raynas.oneshot import ONESHOT
from raynas.oneshot.differentiable import PDarts, Stage
from raynas.search_spaces import NASBench201
from raynas.trials import SupernetTraining

# The published stages have 5, 11 and 17 cells; all that matters here is that the supernet is swapped.
stages = (Stage(fresh=True), Stage(space={"cells": 2}, keep=3, fresh=True, skip_dropout=0.4))
methods = {**ONESHOT, "p_darts": lambda: PDarts(stages=stages)}
folder, method, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=150 * 2**20)
raynas.train_supernet(
    NASBench201(channels=12, cells=1, input_shape=(1, 8, 8)),  # 12 can be split as PC-DARTS and DrNAS want it
    SupernetTraining(data="digits", epochs=epochs, data_fraction=0.25, method=methods[method]()),
    progress=False,
    tensorboard=False,
    run_config=tune.RunConfig(storage_path=folder, name=method),
)
"""


def start(folder: Path, method: str, epochs: int) -> subprocess.Popen[bytes]:
    """Start the training in a separate process group."""
    command = [sys.executable, "-c", TRAINING, str(folder), method, str(epochs)]
    return subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"the training failed:\n{errors.decode()[-2000:]}")


def epochs_done(folder: Path) -> int:
    """Return the number of epochs in the archive."""
    try:
        return len(Archive.load(folder / "archive.jsonl").events("result"))
    except Exception:
        return 0


def kill_in_epoch(process: subprocess.Popen[bytes], folder: Path, epoch: int, delay: float) -> int:
    """SIGKILL the driver and its trial some time after so many epochs were recorded; gives how many there were."""
    while process.poll() is None and epochs_done(folder) < epoch:
        time.sleep(0.02)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return epochs_done(folder)


def outcome(folder: Path) -> dict[str, Any]:
    about = json.loads((folder / "supernet.json").read_text())
    return {name: about[name] for name in ("history", "derived", "digest")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="*", default=sorted(ONESHOT))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    n_equal = 0
    for method in args.methods:
        with tempfile.TemporaryDirectory() as temporary:
            whole, killed = Path(temporary) / "whole", Path(temporary) / "killed"
            finish(start(whole, method, args.epochs))
            expected = outcome(whole / method)
            process = start(killed, method, args.epochs)
            done = kill_in_epoch(process, killed / method, rng.randint(1, args.epochs - 2), rng.uniform(0, 0.5))
            finish(start(killed, method, args.epochs))
            found = outcome(killed / method)
        equal = found == expected
        n_equal += equal
        last = expected["history"][-1]["train_loss"]
        told = f"killed after epoch {done} of {args.epochs}, train_loss at the end {last:.6f}"
        print(f"{method:<24} {told}: equal after resume: {equal}", flush=True)
    print(f"{n_equal} of {len(args.methods)} methods equal their uninterrupted training")


if __name__ == "__main__":
    main()
