"""CPU time that proposals take in the driver, for each strategy and space, beside Optuna's TPE.

Searchers are asked directly, without Ray, and told made-up accuracies. Two tables: seconds for all proposals of a
search, by number of trials, one trial at a time; and milliseconds of a proposal by number of observations and of trials
under evaluation: one trial ends, another is proposed, and the mean is over many such steps. Fits of the model, which
not every proposal has, are in both. TPE is asked through Optuna's own interface.

    python scripts/bench/proposal_cost.py
    python scripts/bench/proposal_cost.py --observations 100 1000 5000 --pending 1 --strategies evolution MCTS
    python scripts/bench/proposal_cost.py --quick

The last line holds the strategies' seconds as multiples of TPE's, for ``compare.py``.
"""

import argparse
import json
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import optuna
import torch

from raynas.core.architecture import Architecture, Option
from raynas.core.evaluation import Evaluation
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.search_spaces import SEARCH_SPACES
from raynas.strategies import Strategy

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the module beside this file
from scripts.bench.benchmarks import STRATEGIES

SPACES = ("cnn", "mobilenetv3", "darts", "nasbench201")
TPE = "Optuna TPE, plain"
TIMED: Mapping[str, Strategy] = {
    name: replace(strategy, early_stopping=None)
    for name, strategy in STRATEGIES.items()
    if name not in ("Optuna TPE", "HyperOpt TPE", "portfolio")
}
"""Early stopping has no part in proposals."""
N_STEPS = 40
"""Number of proposals that a mean is over."""

Suggest = Callable[[], Architecture | None]
Tell = Callable[[float], None]


def made_up(arch: Mapping[str, Option]) -> float:
    """Return an accuracy to which each option adds its part."""
    parts = [zlib.crc32(f"{name}={option}".encode()) % 997 / 997 for name, option in arch.items()]
    return sum(parts) / len(parts)


def evaluation(arch: Architecture) -> Evaluation:
    """Return the result of a trial."""
    return Evaluation(arch, {"accuracy": made_up(arch)})


# --- a search from its beginning -------------------------------------------------------------------------------------


def search_seconds(strategy: Strategy, space: SearchSpace, trials: int) -> float:
    """Return the CPU time of a search's proposals and observations."""
    searcher = strategy.for_budget(trials).searcher(space, costs={}, seed=0)
    began = time.process_time()
    for trial in range(trials):
        step(searcher, str(trial), None)
    return time.process_time() - began


def tpe_seconds(space: SearchSpace, trials: int) -> float:
    """Return the CPU time of Optuna's TPE for a search, which it asks for the active decisions only."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    decisions = list(space.decisions)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    began = time.process_time()
    for _ in range(trials):
        trial, options = study.ask(), dict[str, Option]()
        for decision in decisions:
            if decision.is_active(options):
                options[decision.name] = cast(Option, trial.suggest_categorical(decision.name, list(decision.options)))
        study.tell(trial, made_up(options))
    return time.process_time() - began


# --- proposals while trials are under evaluation ---------------------------------------------------------------------


def step(searcher: ArchitectureSearcher, trial: str, ended: str | None) -> Architecture | None:
    """Let a trial end, and propose another, which ends at once if none was given; return the architecture proposed."""
    if ended is not None:
        complete(searcher, ended)
    config = searcher.suggest(trial)
    if not isinstance(config, dict):
        return None
    if ended is None:
        complete(searcher, trial)
    return Architecture.from_config(config)


def complete(searcher: ArchitectureSearcher, trial: str) -> None:
    """Report the result of a trial."""
    accuracy = made_up(searcher._running[trial])
    searcher.on_trial_complete(trial, {"accuracy": accuracy, "training_iteration": 1})


def warmed(strategy: Strategy, space: SearchSpace, observed: int, pending: int) -> ArchitectureSearcher:
    """Return a searcher with random architectures observed, and others under evaluation."""
    searcher = strategy.for_budget(observed).searcher(space, costs={}, seed=0)
    rng = np.random.default_rng(0)
    archs = list(dict.fromkeys(space.sample(rng) for _ in range(2 * (observed + pending))))[: observed + pending]
    searcher.warm_start(evaluation(arch) for arch in archs[:observed])
    for i, arch in enumerate(archs[observed:]):
        searcher._queue.append(arch)
        searcher.suggest(f"pending {i}")
    return searcher


def steps(strategy: Strategy, space: SearchSpace, observed: int, pending: int, n: int = N_STEPS) -> list[float]:
    """Return the CPU milliseconds of proposals while ``pending`` trials run; the first, which sets up, left out."""
    searcher = warmed(strategy, space, observed, pending)
    spent = []
    for trial in range(n + 1):
        oldest = next(iter(searcher._running))
        began = time.process_time()
        if step(searcher, f"new {trial}", oldest) is None:
            break
        spent.append(1000 * (time.process_time() - began))
    return spent[1:]


# --- tables ----------------------------------------------------------------------------------------------------------


def searches(names: Sequence[str], spaces: Sequence[str], trials: Sequence[int]) -> Iterator[str | dict[str, float]]:
    """Yield the lines of a table, and last the ratios to Optuna's TPE."""
    yield from _head("CPU s of all proposals", [f"{n} trials" for n in trials])
    ratios: dict[str, float] = {}
    for space_name in spaces:
        space = SEARCH_SPACES[space_name]()
        for_all = {name: [search_seconds(TIMED[name], space, n) for n in trials] for name in names}
        peer = [tpe_seconds(space, n) for n in trials]
        for name, seconds in {**for_all, TPE: peer}.items():
            yield f"| {space_name} | {name} | " + " | ".join(f"{s:.2f}" for s in seconds) + " |"
        for name, seconds in for_all.items():
            ratios |= {f"{space_name} {name} {n}": s / p for n, s, p in zip(trials, seconds, peer, strict=True)}
    yield ratios


def proposals(
    names: Sequence[str], spaces: Sequence[str], observations: Sequence[int], pending: Sequence[int], n: int
) -> Iterator[str]:
    """Yield the lines of a table of milliseconds."""
    columns = [(o, p) for o in observations for p in pending]
    yield from _head("CPU ms of a proposal, mean (largest)", [f"{o:,} observed, {p} pending" for o, p in columns])
    for space_name in spaces:
        space = SEARCH_SPACES[space_name]()
        for name in names:
            cells = [steps(TIMED[name], space, o, p, n) for o, p in columns]
            yield f"| {space_name} | {name} | " + " | ".join(f"{np.mean(c):.1f} ({max(c):.0f})" for c in cells) + " |"


def _head(title: str, columns: Sequence[str]) -> Iterator[str]:
    yield f"\n{title}\n"
    yield "| space | strategy | " + " | ".join(columns) + " |"
    yield "|" + "---|" * (2 + len(columns))


def main(argv: Sequence[str]) -> None:
    """Print both tables, and the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--spaces", nargs="+", default=list(SPACES), choices=list(SEARCH_SPACES))
    parser.add_argument("--strategies", nargs="+", default=["Gaussian process"], choices=list(TIMED))
    parser.add_argument("--trials", type=int, nargs="*", default=[60, 100, 300])
    parser.add_argument("--observations", type=int, nargs="*", default=[100])
    parser.add_argument("--pending", type=int, nargs="+", default=[1, 20, 100])
    parser.add_argument("--proposals", type=int, default=N_STEPS, help="timed in each cell of the second table")
    parser.add_argument("--quick", action="store_true", help="a minute's sizes, to see that it runs")
    args = parser.parse_args(argv)
    if args.quick:
        args.spaces, args.trials, args.observations, args.pending = args.spaces[:2], [12], [12], [1, 3]
        args.proposals = 2
    torch.set_num_threads(1)
    ratios: dict[str, float] = {}
    for line in searches(args.strategies, args.spaces, args.trials):
        if isinstance(line, dict):
            ratios = line
        else:
            print(line, flush=True)
    for line in proposals(args.strategies, args.spaces, args.observations, args.pending, args.proposals):
        print(line, flush=True)
    print(json.dumps({"ratios": ratios}))


if __name__ == "__main__":
    main(sys.argv[1:])
