"""Speed of costs in bulk against a Tune trial each: parameters and multiply-adds of NAS-Bench-201.

Scores a few hundred architectures by one Tune trial each, with reused actors and all else as fast as Tune goes, then
many thousands by ``raynas.score_many``; each with its start, and without. Prints both rates and their ratio, and
compares all costs of the trials, and some of the others, with those of networks that are built and counted.

    python scripts/bench/score_many.py --trials 300 --archs 10000
"""

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import ray
import torch
from ray import tune

from raynas import Architecture, score_many
from raynas.metrics import count_macs, count_params, untrained_metrics
from raynas.run.environment import FAST_SETTINGS
from raynas.search_spaces import NASBench201

SPACE = NASBench201()
NAMES = ("params", "macs")

N_FIRST = 100
"""Architectures in bulk that count as the start: some of them are counted to find out whether costs add up."""


class Costs(tune.Trainable):
    """Measures the architecture in its config."""

    def setup(self, config: dict[str, Any]) -> None:
        self.metrics = untrained_metrics(SPACE, NAMES)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.arch = SPACE.from_config(new_config)
        return True

    def step(self) -> dict[str, Any]:
        return {**{name: metric(self.arch) for name, metric in self.metrics.items()}, "done": True, "time": time.time()}


def by_trials(archs: Sequence[Architecture], folder: str) -> tuple[list[tuple[int, int]], float, float]:
    """Return the costs by a trial each, the seconds of all, and those between the first result and the last."""
    os.environ.update({**FAST_SETTINGS, "TUNE_MAX_PENDING_TRIALS_PG": "2"})
    began = time.perf_counter()
    grid = tune.Tuner(
        tune.with_resources(Costs, {"cpu": 1}),
        param_space={"arch": tune.grid_search([arch.to_config() for arch in archs])},
        tune_config=tune.TuneConfig(metric="macs", mode="min", max_concurrent_trials=2, reuse_actors=True),
        run_config=tune.RunConfig(
            storage_path=folder, checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False), verbose=0
        ),
    ).fit()
    seconds = time.perf_counter() - began
    results = [grid[i].metrics or {} for i in range(len(grid))]
    ends = [result["time"] for result in results]
    return [(int(r["params"]), int(r["macs"])) for r in results], seconds, max(ends) - min(ends)


def in_bulk(archs: Sequence[Architecture]) -> tuple[list[tuple[int, int]], float, float]:
    """Return the costs in bulk, the seconds of all, and those after the first ``N_FIRST``."""
    found: list[tuple[int, int]] = []
    began = first = time.perf_counter()
    for evaluation in score_many(SPACE, archs, NAMES):
        found.append((int(evaluation.metrics["params"]), int(evaluation.metrics["macs"])))
        if len(found) == N_FIRST:
            first = time.perf_counter()
    end = time.perf_counter()
    return found, end - began, end - first


def counted(arch: Architecture) -> tuple[int, int]:
    """Return the costs of the network itself."""
    with torch.device("meta"):
        model = SPACE.build(arch)
    return count_params(model), count_macs(model, SPACE.input_shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--archs", type=int, default=10_000)
    parser.add_argument("--compared", type=int, default=100, help="how many costs in bulk are compared with counting")
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("ray.tune").setLevel(logging.ERROR)  # It misses files that nobody asked it to write.
    rng = np.random.default_rng(0)
    archs = [SPACE.sample(rng) for _ in range(args.archs)]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        told, seconds, between = by_trials(archs[: args.trials], folder)
    rate, steady = args.trials / seconds, (args.trials - 1) / between
    print(f"a trial each: {args.trials} in {seconds:.1f} s, {rate:.1f} a second; without the start {steady:.1f}")
    found, seconds, later = in_bulk(archs)
    bulk_rate, bulk_steady = args.archs / seconds, (args.archs - N_FIRST) / later
    print(f"in bulk: {args.archs} in {seconds:.2f} s, {bulk_rate:.0f} a second; without the start {bulk_steady:.0f}")
    print(f"ratio {bulk_rate / rate:.0f}; without the start of either {bulk_steady / steady:.0f} (goal: 50)")
    few = range(0, args.archs, max(args.archs // args.compared, 1))
    wrong = sum(a != b for a, b in zip(told, found, strict=False)) + sum(found[i] != counted(archs[i]) for i in few)
    print(f"costs that differ from those of trials ({args.trials}) or of counting ({len(few)}): {wrong}")


if __name__ == "__main__":
    main()
