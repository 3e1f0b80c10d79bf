"""Ranks of LoRA found under a budget, against uniform rank with as many parameters.

A language model trained here on Python's source code (``trained_models.py``) is adapted to licences and descriptions of
packages. Each seed has its training batches. For a budget, that of one rank in all layers, patterns are trained
from scratch on the same batches with the same number of steps, and compared by their loss on a test text:

- uniform: that rank in all layers,
- random: a random pattern within the budget,
- sensitivity: what ``ranks_by_sensitivity`` finds in the nested adapters,
- search: what ``search_ranks`` finds in them on a validation text, by evolution.

The nested adapters are trained once for the two, as long as a pattern is.

    python scripts/bench/lora_ranks.py --folder models
    python scripts/bench/lora_ranks.py --folder models --choose-rate
"""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from torch import nn

from raynas.compressing.adapters import NestedAdapters, ranks_by_sensitivity, search_ranks
from raynas.core.architecture import Architecture
from raynas.low_rank import AdapterSpace, adapter_space
from raynas.strategies import RegularizedEvolution
from scripts.bench.trained_models import Batches, fit, gpt, legal_text, loss_of, split, text_batches

METHODS = ("uniform", "random", "sensitivity", "search")
RATES = (3e-3, 1e-2, 3e-2, 1e-1)
RATE_SEED = 1000
"""Seed of the batches with which the learning rate is chosen; no comparison has it."""


@dataclass(frozen=True)
class Setting:
    """A space of adapters and texts to adapt to."""

    space: AdapterSpace
    steps: int
    rate: float
    samples: int

    def batches(self, seed: int) -> tuple[Batches, Batches, Batches]:
        """Return batches for training, validation and test."""
        train, valid, test = split(legal_text())
        return text_batches(train, self.steps, seed, 8), text_batches(valid, 4, seed), text_batches(test, 16, 0)

    def trained_loss(self, pattern: Architecture, batches: Batches, held_out: Batches, seed: int) -> float:
        """Return the loss of a pattern that was trained from scratch."""
        torch.manual_seed(seed)
        network = self.space.build(pattern)
        fit(network, batches, loss_of, self.rate)
        return mean_loss(network, held_out)

    def patterns(self, rank: int, seed: int) -> dict[str, Architecture]:
        """Return the pattern of each method for the budget of a uniform rank."""
        train, valid, _ = self.batches(seed)
        uniform = self.space.of_pattern(dict.fromkeys(self.space.ranks, rank))
        budget = self.space.n_trained(uniform)
        nested = NestedAdapters(loss=loss_of, learning_rate=self.rate, seed=seed)
        supernet = nested.train(self.space, train)
        scored = ranks_by_sensitivity(self.space, supernet, train[:16], loss_of, budget=budget)
        found = search_ranks(
            self.space,
            supernet,
            valid,
            loss_of,
            budget=budget,
            strategy=RegularizedEvolution(population_size=20, tournament_size=5),
            num_samples=self.samples,
            points_to_evaluate=[uniform, scored],
            seed=seed,
        )
        return {
            "uniform": uniform,
            "random": random_pattern(self.space, budget, seed),
            "sensitivity": scored,
            "search": found.best().arch,
        }


def random_pattern(space: AdapterSpace, budget: int, seed: int) -> Architecture:
    """Return a pattern that random steps from no adapters fill the budget with."""
    rng = np.random.default_rng(seed)
    chosen = {path: min(ranks) for path, ranks in space.ranks.items()}
    tried: set[str] = set()
    while len(tried) < len(chosen):
        path = str(rng.choice(sorted(set(chosen) - tried)))
        larger = [rank for rank in space.ranks[path] if rank > chosen[path]]
        step = {**chosen, path: min(larger, default=chosen[path])}
        if larger and space.n_trained(space.of_pattern(step)) <= budget:
            chosen = step
        else:
            tried.add(path)
    return space.of_pattern(chosen)


def mean_loss(network: nn.Module, batches: Batches) -> float:
    """Return the mean loss of a network."""
    with torch.no_grad():
        return statistics.fmean(float(loss_of(network(inputs), targets)) for inputs, targets in batches)


def report(losses: Mapping[str, Sequence[float]], parameters: Mapping[str, Sequence[int]]) -> None:
    """Print losses, and what is gained over uniform rank, in pairs of the same seed."""
    print("| pattern | parameters, mean | test loss | below uniform, mean and 95 % interval | better in |")
    print("|---|---|---|---|---|")
    for method in (method for method in METHODS if losses[method]):
        gains = np.array(losses["uniform"]) - np.array(losses[method])
        n = len(gains)
        half = stats.t.ppf(0.975, n - 1) * gains.std(ddof=1) / n**0.5 if n > 1 and gains.any() else 0.0
        compared = f"{gains.mean():.4f} ± {half:.4f} | {(gains > 0).sum()} of {n}" if method != "uniform" else " | "
        mean = statistics.fmean(parameters[method])
        print(f"| {method} | {mean:,.0f} | {statistics.fmean(losses[method]):.4f} | {compared} |")


def main(given: Sequence[str] | None = None) -> None:
    """Compare the patterns and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of the trained model")
    parser.add_argument("--ranks", type=int, nargs="+", default=[2], help="uniform ranks, each a budget")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--rate", type=float, default=3e-2)
    parser.add_argument("--pretraining", type=int, default=1500, help="steps of the given model's training")
    parser.add_argument("--choose-rate", action="store_true", help="print validation losses of learning rates instead")
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    trained = gpt(arguments.folder, steps=arguments.pretraining)
    space = adapter_space(trained.model, trained.train[0][0][:2], layers=["blocks.*"])
    setting = Setting(space, arguments.steps, arguments.rate, arguments.samples)
    held_out = setting.batches(0)[2]
    print(f"loss on Python {mean_loss(trained.model, trained.valid):.4f}, ", end="")
    print(f"on the other text before adaptation {mean_loss(trained.model, held_out):.4f}\n")
    if arguments.choose_rate:
        train, valid, _ = setting.batches(RATE_SEED)
        uniform = space.of_pattern(dict.fromkeys(space.ranks, arguments.ranks[0]))
        for rate in RATES:
            loss = Setting(space, setting.steps, rate, 0).trained_loss(uniform, train, valid, RATE_SEED)
            print(f"rate {rate:g}: validation loss {loss:.4f}", flush=True)
        return
    for rank in arguments.ranks:
        losses: dict[str, list[float]] = {method: [] for method in METHODS}
        parameters: dict[str, list[int]] = {method: [] for method in METHODS}
        found: list[dict[str, int]] = []
        for seed in range(arguments.seeds):
            train = setting.batches(seed)[0]
            patterns = setting.patterns(rank, seed)
            for method, pattern in patterns.items():
                if method not in arguments.methods:
                    continue
                losses[method].append(setting.trained_loss(pattern, train, held_out, seed))
                parameters[method].append(space.n_trained(pattern))
            found.append(space.pattern(patterns["search"]))
            done = ", ".join(f"{method} {each[-1]:.4f}" for method, each in losses.items() if each)
            print(f"seed {seed}: {done}", flush=True)
        print(f"\nBudget of rank {rank} in all {len(space.ranks)} layers, {arguments.seeds} seeds:\n")
        report(losses, parameters)
        kinds = sorted({path.rpartition(".")[2] for path in space.ranks})
        means = {
            kind: statistics.fmean(r for ranks in found for p, r in ranks.items() if p.endswith(kind)) for kind in kinds
        }
        print("\nMean rank by the search: " + ", ".join(f"{kind} {mean:.2f}" for kind, mean in means.items()) + "\n")


if __name__ == "__main__":
    main()
