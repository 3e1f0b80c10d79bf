"""CPU milliseconds of a proposal by number of observations, for each strategy.

Each searcher observes random cells of NAS-Bench-201 with made-up accuracies (a search would take hours to get there),
then proposes and observes a few more: the median is of a usual proposal, the largest one fits the model. Optuna's TPE
is asked in the same way.

    python scripts/bench/propose_cost.py --observations 100 1000 5000
"""

import argparse
import sys
import time
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.searcher import ArchitectureSearcher
from raynas.search_spaces import NASBench201
from raynas.strategies import Strategy

sys.path.insert(0, str(Path(__file__).parents[2]))
from scripts.bench.benchmarks import STRATEGIES

CHOSEN = (
    "evolution",
    "genetic",
    "NSGA-II",
    "local search",
    "MCTS",
    "LaNAS",
    "REINFORCE",
    "PPO",
    "Q-learning",
    "Optuna TPE",
    "Gaussian process",
    "BANANAS",
    "boosted trees",
    "NAS-BOWL",
    "graph network",
)


def made_up(space: NASBench201, arch: Architecture) -> float:
    """Return an accuracy that depends on the cell, and is different for each."""
    n_convolutions = sum(str(option).startswith("nor_conv") for option in arch.values())
    return 0.5 + 0.08 * n_convolutions - zlib.crc32(arch.to_json().encode()) % 97 / 1e4


def warmed(strategy: Strategy, space: NASBench201, archs: list[Architecture]) -> ArchitectureSearcher:
    """Return a searcher that has observed architectures."""
    searcher = strategy.for_budget(len(archs)).searcher(space, costs={}, seed=0)
    searcher.warm_start(Evaluation(arch, {"accuracy": made_up(space, arch)}) for arch in archs)
    return searcher


def cost(strategy: Strategy, space: NASBench201, archs: list[Architecture], n: int) -> tuple[float, float]:
    """Median and largest CPU time of n trials' proposals, ms; the first, which sets everything up, left out."""
    searcher = warmed(strategy, space, archs)
    spent = []
    for trial in range(n + 1):
        began = time.process_time()
        config = searcher.suggest(str(trial))
        spent.append(1000 * (time.process_time() - began))
        if not isinstance(config, dict):
            break
        arch = Architecture.from_config(config)
        searcher.on_trial_complete(str(trial), {"accuracy": made_up(space, arch), "training_iteration": 1})
    return float(np.median(spent[1:])), max(spent[1:])


def strategies() -> Mapping[str, Strategy]:
    """Those that are timed; early stopping has no part in it."""
    return {name: replace(STRATEGIES[name], early_stopping=None) for name in CHOSEN}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--observations", type=int, nargs="+", default=[100, 500, 1000, 2000, 5000])
    parser.add_argument("--proposals", type=int, default=40, help="timed at each number of observations")
    parser.add_argument("--strategies", nargs="+", default=list(CHOSEN), choices=CHOSEN)
    args = parser.parse_args()
    torch.set_num_threads(1)
    space = NASBench201()
    archs = list(space.enumerate())
    chosen = np.random.default_rng(0).permutation(len(archs))[: max(args.observations)]
    print("| strategy | " + " | ".join(f"{n:,} observed: median (largest) ms" for n in args.observations) + " |")
    print("|" + "---|" * (1 + len(args.observations)))
    for name in args.strategies:
        cells = [
            "{:.2f} ({:.0f})".format(*cost(strategies()[name], space, [archs[i] for i in chosen[:n]], args.proposals))
            for n in args.observations
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
