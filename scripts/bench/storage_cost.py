"""Cost of a bucket to the driver: the same search with its results in a folder, and in a bucket on loopback.

Trials report three times and write a checkpoint each time. Prints the driver's CPU time per trial, threads that upload
included, of each run. The server (moto) is another process.

    python -m scripts.bench.storage_cost --trials 60 --repeats 3
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray import tune
from torch import nn

from raynas import search
from raynas.strategies import RandomSearch
from raynas.trials import Function
from scripts.bench.overhead import Toy
from tests.s3_server import CREDENTIALS, s3_server


def train(model: nn.Module, config: dict[str, Any], state: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Report three times, at once."""
    for epoch in range(state.get("epoch", 0) + 1, 4):
        state["epoch"] = epoch
        yield {"accuracy": sum(config["arch"].values()) / 60 + epoch}


def measure(storage: str, name: str, trials: int) -> tuple[float, float]:
    """Return the wall and driver CPU milliseconds per trial of one search."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = search(
        Toy(),
        Function(fn=train, epochs=3),
        RandomSearch(),
        num_samples=trials,
        max_concurrent=2,
        progress=False,
        tensorboard=False,
        leave_report=False,
        run_config=tune.RunConfig(storage_path=storage, name=name),
    )
    assert len(result.evaluations) == trials and all(e.ok for e in result.evaluations)
    return 1000 * (time.perf_counter() - wall) / trials, 1000 * (time.process_time() - cpu) / trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    os.environ |= CREDENTIALS
    with tempfile.TemporaryDirectory() as folder, s3_server() as uri:
        os.environ["HOME"] = str(Path(folder) / "home")  # where working copies are
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        places = {"folder": folder, "bucket": uri}
        for place in places.values():
            measure(place, "first", 6)
        cpu: dict[str, list[float]] = {name: [] for name in places}
        for number in range(args.repeats):
            for name, place in places.items():
                wall, used = measure(place, f"{number}", args.trials)
                cpu[name].append(used)
                print(f"{name}: {wall:.0f} ms a trial, {used:.1f} ms of the driver's CPU", flush=True)
    medians = {name: statistics.median(values) for name, values in cpu.items()}
    print(", ".join(f"{name} {value:.1f} ms" for name, value in medians.items()) + " of the driver's CPU per trial")


if __name__ == "__main__":
    main()
