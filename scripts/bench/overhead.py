"""Overhead of raynas over plain Tune: trivial trials through ``raynas.search`` and through ``tune.Tuner``.

Both run in this process, alternating, with the same fast settings (class trainable, reused actors, no default loggers,
no checkpoint at the end, the same number of trials at a time); raynas writes its archive and TensorBoard logs besides.
Prints the median of wall and driver CPU time of each and their ratio.

    python scripts/bench/overhead.py --trials 500 --repeats 5
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune
from torch import nn

from raynas import Architecture, SearchSpace, search
from raynas.core.decision import Categorical, Decision
from raynas.run.environment import FAST_SETTINGS
from raynas.strategies import RandomSearch


class Trivial(tune.Trainable):
    """Scores an architecture at once."""

    def setup(self, config: dict[str, Any]) -> None:
        self.arch = config["arch"]

    def step(self) -> dict[str, Any]:
        return {"accuracy": sum(self.arch.values()) / 60, "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True


class Toy(SearchSpace):
    """Ten to the sixth architectures that are never built."""

    input_shape = (1,)

    @property
    def decisions(self) -> list[Decision]:
        return [Categorical(f"decision_{i}", tuple(range(10))) for i in range(6)]

    def build(self, arch: Architecture) -> nn.Module:
        return nn.Identity()


def plain(trials: int, concurrent: int, folder: Path, callbacks: Sequence[tune.Callback] = ()) -> None:
    """Run Tune's random search with raynas's fast settings."""
    os.environ |= FAST_SETTINGS | {"TUNE_MAX_PENDING_TRIALS_PG": str(concurrent)}
    tune.Tuner(
        tune.with_resources(Trivial, {"cpu": 1}),
        param_space={"arch": Toy().param_space()},
        tune_config=tune.TuneConfig(
            metric="accuracy", mode="max", num_samples=trials, max_concurrent_trials=concurrent, reuse_actors=True
        ),
        run_config=tune.RunConfig(
            name="plain",
            storage_path=str(folder),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
            callbacks=list(callbacks),
        ),
    ).fit()
    for name in FAST_SETTINGS:
        os.environ.pop(name, None)


def ours(trials: int, concurrent: int, folder: Path, callbacks: Sequence[tune.Callback] = ()) -> None:
    """Run the same through raynas, archive and TensorBoard included."""
    result = search(
        Toy(),
        Trivial,
        RandomSearch(),
        num_samples=trials,
        max_concurrent=concurrent,
        progress=False,
        run_config=tune.RunConfig(storage_path=str(folder), name="raynas", callbacks=list(callbacks)),
    )
    assert len(result.evaluations) == trials


def measure(run: Callable[[int, int, Path], None], trials: int, concurrent: int, folder: str) -> tuple[float, float]:
    """Return the wall and driver CPU seconds of one run."""
    own = Path(tempfile.mkdtemp(dir=folder))
    wall, cpu = time.perf_counter(), time.process_time()
    run(trials, concurrent, own)
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--concurrent", type=int, default=2)
    args = parser.parse_args()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    runs: Mapping[str, Callable[[int, int, Path], None]] = {"plain": plain, "raynas": ours}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    # One folder for all runs, deleted at the end: just after a large deletion some file systems are slow for a while.
    with tempfile.TemporaryDirectory() as folder:
        for run in runs.values():
            measure(run, 20, args.concurrent, folder)
        for _ in range(args.repeats):
            for name, run in runs.items():
                times[name].append(measure(run, args.trials, args.concurrent, folder))
                print(f"{name:7} wall {times[name][-1][0]:6.2f} s   cpu {times[name][-1][1]:6.2f} s", flush=True)
    wall = {name: statistics.median(t[0] for t in values) for name, values in times.items()}
    cpu = {name: statistics.median(t[1] for t in values) for name, values in times.items()}
    print(f"trials a second: plain {args.trials / wall['plain']:.0f}, raynas {args.trials / wall['raynas']:.0f}")
    ratio = {what: times["raynas"] / times["plain"] for what, times in (("wall", wall), ("driver cpu", cpu))}
    print("ratio raynas / plain: " + ", ".join(f"{what} {value:.2f}" for what, value in ratio.items()))
    print(json.dumps({"ratios": {"driver cpu": ratio["driver cpu"]}}))  # on a busy machine wall time says little


if __name__ == "__main__":
    main()
