"""Strategies where scores are noisy or hardly learnable: best value by number of evaluations, over many seeds.

The landscapes need no files beside the shipped tables. Each seed of an artificial landscape is another landscape, so
that all strategies are compared on the same ones; scores have mean 0 and standard deviation 1.

- ``noisy_cells``: cells of NAS-Bench-201. A score is a random function of the paths of a cell, and independent noise
  whose standard deviation is that of the best third of the scores without noise. Cells of equal function score the
  same; in ``noisy_twins`` each has its own noise, as if it was trained from another seed.
- ``small_cells``: ``noisy_cells`` with four operations, on which settings were chosen.
- ``digits_cells``, ``digits_chains``: single trainings, see tables/README.md; accuracies in percent.
- ``nk1``, ``nk3``, ``nk8``: NK landscapes (Kauffman and Levin, 1987) of 30 decisions with three options, where each of
  30 terms depends on a decision and K others, drawn at random; settings were chosen on seeds from 100.

    python scripts/bench/noisy_tables.py
    python scripts/bench/noisy_tables.py --landscapes nk1 digits_cells --seeds 5
    python scripts/bench/noisy_tables.py --quick

The file of results has a line per landscape, strategy and seed: what is there is not run again, so that an interrupted
run can be resumed. The table says how far the first strategy is above the others, seed by seed.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from raynas.core.architecture import Architecture, Config
from raynas.core.decision import Categorical, Decision
from raynas.core.space import SearchSpace
from raynas.search_spaces import NASBench201
from raynas.strategies import ByBudget, GaussianProcess, LocalSearch, RandomSearch, RegularizedEvolution, Strategy
from raynas.testing import run_trials

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the modules beside this file
from scripts.bench.benchmarks import BENCHMARKS
from scripts.bench.search_quality import read
from scripts.bench.summaries import best_at, by_strategy, difference, verdict

Array = NDArray[np.float64]

BUDGETS = (50, 100, 200, 400)
"""Evaluations after which a search is judged."""

STRATEGIES: Mapping[str, Strategy] = {
    "gp": GaussianProcess(),
    "auto": ByBudget(),
    "evolution": RegularizedEvolution(),
    "local": LocalSearch(),
    "random": RandomSearch(),
}
"""Strategies by name; the first is compared with the others."""


# --- landscapes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Landscape:
    """A space and a score for each architecture, larger is better."""

    space: SearchSpace
    score: Callable[[Architecture], float]


@dataclass(frozen=True, kw_only=True)
class Chain(SearchSpace):
    """Decisions without a network, each between options that have no order."""

    n_decisions: int = 30
    n_options: int = 3

    @property
    def decisions(self) -> Sequence[Decision]:
        options = tuple("abcdefgh"[: self.n_options])
        return [Categorical(f"d{i}", options) for i in range(self.n_decisions)]

    def build(self, arch: Architecture) -> nn.Module:
        return nn.Identity()


def nk(n_others: int, seed: int) -> Landscape:
    """Make an NK landscape: the mean of a term per decision, which depends on ``n_others`` others too."""
    space, rng = Chain(), np.random.default_rng(seed)
    n, n_options = space.n_decisions, space.n_options
    others = [rng.choice(np.delete(np.arange(n), i), n_others, replace=False) for i in range(n)]
    places = np.array([[i, *some] for i, some in enumerate(others)])
    terms = rng.standard_normal((n, n_options ** (n_others + 1))) / n**0.5
    digits = n_options ** np.arange(n_others + 1)

    def score(arch: Architecture) -> float:
        held = np.array(["abcdefgh".index(str(arch[f"d{i}"])) for i in range(n)])
        return float(terms[np.arange(n), held[places] @ digits].sum())

    return Landscape(space, score)


@cache
def cells(operations: tuple[str, ...]) -> tuple[NASBench201, Sequence[Architecture], Array, NDArray[np.int64]]:
    """Return the space of cells, its members, logarithms of path counts (equal for twins), and their functions."""
    space = NASBench201(operations=operations)
    archs = list(space.enumerate())
    paths = np.log1p([space.features(arch)["paths"] for arch in archs])
    number: dict[object, int] = {}
    functions = np.array([number.setdefault(space.function_key(arch), len(number)) for arch in archs])
    first = np.unique(functions, return_index=True)[1]
    return space, archs, paths[first][functions], functions


def noisy(operations: tuple[str, ...], seed: int, *, twins_differ: bool = False) -> Landscape:
    """Make a landscape whose noise is as large as the spread of the best third of its structure."""
    space, archs, paths, functions = cells(operations)
    rng = np.random.default_rng(seed)
    sums = paths @ rng.normal(0.3, 1, paths.shape[1])
    structure = -np.exp(-sums / sums.std())  # as accuracies: most are near the best, few far below
    spread = structure[structure >= np.quantile(structure, 2 / 3)].std()
    noise = spread * rng.standard_normal(len(archs))
    scores = structure + (noise if twins_differ else noise[functions])
    scores = (scores - scores.mean()) / scores.std()
    return Landscape(space, dict(zip(archs, map(float, scores), strict=True)).__getitem__)


def shipped(name: str, seed: int) -> Landscape:
    """Return a table that is shipped, the same for each seed."""
    table = _loaded(name)
    return Landscape(BENCHMARKS[name].space, partial(table.value, "accuracy"))


_loaded = cache(lambda name: BENCHMARKS[name].load(None))

FIVE = tuple(NASBench201().operations)
FOUR = tuple(name for name in FIVE if name != "avg_pool_3x3")

LANDSCAPES: Mapping[str, Callable[[int], Landscape]] = {
    "noisy_cells": partial(noisy, FIVE),
    "noisy_twins": partial(noisy, FIVE, twins_differ=True),
    "small_cells": partial(noisy, FOUR),
    "digits_cells": partial(shipped, "digits_cells"),
    "digits_chains": partial(shipped, "digits_chains"),
    "nk1": partial(nk, 1),
    "nk3": partial(nk, 3),
    "nk8": partial(nk, 8),
}
"""Functions of a seed."""


# --- searches --------------------------------------------------------------------------------------------------------


def search(strategy: Strategy, landscape: Landscape, n: int, seed: int) -> dict[str, Any]:
    """Run one search; return its best value after each evaluation, and milliseconds of CPU per evaluation."""
    space, score, began = landscape.space, landscape.score, time.process_time()
    values: list[float] = []

    def evaluate(config: Config) -> dict[str, float]:
        values.append(score(space.from_config(config)))
        return {"accuracy": values[-1], "training_iteration": 1}

    run_trials(strategy.for_budget(n).searcher(space, costs={}, seed=seed), evaluate, n)
    best = np.maximum.accumulate(values)
    return {"best": [round(float(value), 4) for value in best], "ms": 1000 * (time.process_time() - began) / n}


def report(rows: Sequence[Mapping[str, Any]], budgets: Sequence[int]) -> str:
    """Return a line per landscape and strategy: mean best value, and how far the first strategy is above it."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["landscape"], []).append(row)
    lines = []
    for landscape, own in found.items():
        of_all = by_strategy(own)
        first = next(iter(of_all.values()))
        for name, runs in of_all.items():
            cells = [landscape, name, str(len(runs)), f"{np.mean([row['ms'] for row in runs.values()]):.1f}"]
            for budget in budgets:
                values = {seed: best_at(row, budget) for seed, row in runs.items()}
                above = difference({seed: best_at(row, budget) for seed, row in first.items()}, values, budget)
                cells.append(f"{np.mean(list(values.values())):.3f}")
                cells.append(verdict(above[f"gap@{budget}"], above[f"gap_error@{budget}"]))
            lines.append(cells)
    first_name = rows[0]["strategy"] if rows else ""
    head = ["landscape", "strategy", "seeds", "ms"]
    head += [text for budget in budgets for text in (f"after {budget}", f"{first_name} against it")]
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, ["---"] * len(head), *lines))


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--landscapes", nargs="+", default=list(LANDSCAPES), choices=list(LANDSCAPES))
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=list(STRATEGIES))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--evaluations", type=int, default=max(BUDGETS), help="per search")
    parser.add_argument("--results", default="results/noisy_tables", help="folder of results")
    parser.add_argument("--quick", action="store_true", help="two seeds, 25 evaluations: does it run?")
    args = parser.parse_args(argv)
    if args.quick:
        args.seeds, args.evaluations = 2, 25
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments(argv)
    folder, n = Path(args.results), args.evaluations
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "noisy_tables.jsonl"
    rows = read(file)
    done = {(row["landscape"], row["strategy"], row["seed"]) for row in rows if row["n"] >= n}
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    for seed in seeds:
        for landscape in args.landscapes:
            for name in args.strategies:
                if (landscape, name, seed) in done:
                    continue
                row = {"landscape": landscape, "strategy": name, "seed": seed, "n": n}
                rows.append(row | search(STRATEGIES[name], LANDSCAPES[landscape](seed), n, seed))
                with file.open("a") as out:
                    out.write(json.dumps(rows[-1]) + "\n")
    order = {name: i for i, name in enumerate([*args.landscapes, *args.strategies])}
    chosen = [row for row in rows if {row["landscape"], row["strategy"]} <= order.keys() and row["seed"] in seeds]
    chosen.sort(key=lambda row: (order[row["landscape"]], order[row["strategy"]], row["seed"]))
    text = report(chosen, [budget for budget in BUDGETS if budget <= n] or [n])
    (folder / "noisy_tables.md").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
