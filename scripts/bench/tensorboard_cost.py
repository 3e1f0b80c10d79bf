"""CPU time, files and bytes of the TensorBoard logs of a search, by the number of trials.

The archive of a search in the space of NAS-Bench-201 with random scores is written trial by trial, as in a search; a
clock advances by a second for each trial, so that pictures are as often due as in a search whose trials take that long.

    python scripts/bench/tensorboard_cost.py --trials 10 1000 100000
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np

from raynas.core.archive import Archive
from raynas.metrics import read_goal
from raynas.search_spaces.nasbench201 import NASBench201
from raynas.views.tensorboard import TensorBoardLog

N_DIFFERENT = 500


def measure(n_trials: int, folder: Path) -> dict[str, float]:
    """Write the logs of a search; return CPU seconds, event files, and megabytes in all and of the search's own run."""
    space, goal, rng = (
        NASBench201(channels=4, cells=1),
        read_goal("accuracy", "params <= 50000"),
        np.random.default_rng(0),
    )
    configs = [space.to_config(space.sample(rng)) for _ in range(N_DIFFERENT)]
    archive, now, spent = Archive(), 0.0, 0.0
    with mock.patch("time.monotonic", lambda: now):
        log = TensorBoardLog(folder, space)
        for i in range(n_trials):
            scores = {"accuracy": float(rng.beta(5, 2)), "params": float(rng.integers(10_000, 60_000)), "loss": 1.0}
            archive.append("proposed", trial=f"{i:06d}", config=configs[i % N_DIFFERENT], costs={})
            archive.append("result", trial=f"{i:06d}", fidelity=1, metrics=scores)
            ended = {"status": "finished", "fidelity": 2, "metrics": scores, "error": ""}
            archive.append("ended", trial=f"{i:06d}", **ended)
            now += 1.0
            began = time.process_time()
            log.update(archive, goal)
            spent += time.process_time() - began
        began = time.process_time()
        log.close(archive, goal)
        spent += time.process_time() - began
    files = [path for path in folder.rglob("*") if path.is_file()]
    own = sum(path.stat().st_size for path in files if path.parent.name == "search")
    return {
        "cpu_s": spent,
        "ms_per_trial": 1e3 * spent / n_trials,
        "files": len(files),
        "megabytes": sum(path.stat().st_size for path in files) / 1e6,
        "search_megabytes": own / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--trials", type=int, nargs="+", default=[10, 1000], help="numbers of trials (default: 10 1000)"
    )
    for n_trials in parser.parse_args().trials:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps({"trials": n_trials, **measure(n_trials, Path(folder))}), flush=True)


if __name__ == "__main__":
    main()
