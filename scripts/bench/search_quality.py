"""Quality of strategies: best value by number of evaluations, over many seeds, on a table of networks.

The file of results has a line per strategy and seed: what is there is not run again, so that an interrupted run can be
resumed. Accuracies are in percent.

    python scripts/bench/search_quality.py --table nb201_cifar10.csv.gz
    python scripts/bench/search_quality.py --benchmark digits_cells
    python scripts/bench/search_quality.py --benchmark digits_cells --shuffle
    python scripts/bench/search_quality.py --benchmark digits_chains --early-stopping
    python scripts/bench/search_quality.py --table nb201_cifar10.csv.gz --hypervolume
    python scripts/bench/search_quality.py --table nb201_cifar10.csv.gz --hypervolume --second params_M
    python scripts/bench/search_quality.py --table nb201_cifar10.csv.gz --hypervolume \
        --join nb201_latency_help.csv.gz --second latency_ms_pixel3

``--shuffle`` deals the accuracies out to other architectures at random: then nothing can beat random search, and a
strategy that does has seen what it must not. ``--early-stopping`` compares schedulers with training in full, four
trials at a time: the best value of a trial that was trained to its end, with as many trials, and with a quarter of the
epochs.
``--hypervolume`` compares the fronts of two objectives, in shares of the volume below the table's own front, and the
strategies with the first of them; ``--second`` names the column beside the accuracy, less of which is better. With
``--known`` it is known before a trial, as are counts of parameters and latencies that are looked up in a table.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raynas.core.metric import Candidate, Metric
from raynas.core.pareto import hypervolume, is_non_dominated
from raynas.core.space import SearchSpace
from raynas.run.simulate import drive
from raynas.run.trajectory import Trajectory
from raynas.strategies import Strategy
from raynas.trials.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the modules beside this file
from scripts.bench.benchmarks import BENCHMARKS, FRONTS, SAMPLED, SCHEDULERS, STRATEGIES
from scripts.bench.summaries import markdown, plot, stopping_markdown, stopping_summary, summary

BUDGETS = (25, 50, 100, 200)
"""Evaluations after which a search is judged."""


# --- three ways of comparing -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Mode:
    """A comparison.

    Args:
        name: of the files of results.
        strategies: what is compared, by name; the first is what the others are measured by.
        budgets: evaluations after which a search is judged.
        evaluations: of each search, where nobody asks for another number.
        n_workers: trials at a time.
        objectives: what is searched for.
        metrics: those of them that are known before a trial, from the table.
    """

    name: str
    strategies: Mapping[str, Strategy]
    budgets: tuple[int, ...] = BUDGETS
    evaluations: int = max(BUDGETS)
    n_workers: int = 1
    objectives: tuple[str, ...] = ("accuracy",)
    metrics: tuple[Metric, ...] = ()

    def optimum(self, table: Table) -> float:
        """Return the best value in the table."""
        return 1.0 if len(self.objectives) > 1 else float(table.values["accuracy"][:, -1].max())

    def run(self, strategy: Strategy, table: Table, space: SearchSpace, n: int, seed: int) -> dict[str, Any]:
        """Run one search; return its best value, milliseconds and epochs after each evaluation.

        That is in units of full trainings.
        """
        began = time.perf_counter()
        objectives = list(self.objectives)
        (found,) = drive(
            strategy, table, space, n, [seed], objectives=objectives, metrics=self.metrics, n_workers=self.n_workers
        )
        spent = time.perf_counter() - began
        names = [objective.metric for objective in found.goal.objectives]
        best = fronts(found, table, names) if len(objectives) > 1 else found.best
        full = table.values["train_seconds"][0, -1]
        return {
            "best": [round(float(value), 4) for value in best],
            "ms": 1000 * spent / n,
            "trained": [round(float(seconds / full), 4) for seconds in found.trained_seconds],
        }


def from_table(candidate: Candidate) -> float:
    """Raise: the table holds the metric, so nothing is measured."""
    raise NotImplementedError(f"the table has no entry of {candidate.arch}")


def fronts(found: Trajectory, table: Table, objectives: Sequence[str]) -> NDArray[np.float64]:
    """Return the volume below the front after each evaluation, as a share of that below the table's own.

    Each objective is scaled to [0, 1] by what the table holds; the volume is that above 0.
    """
    signs = np.array([objective.sign for objective in found.goal.objectives])
    columns = signs * np.stack([table.values[name][:, -1] for name in objectives], axis=1)
    low, span = columns.min(axis=0), np.ptp(columns, axis=0)
    reference, front, volumes = np.zeros(len(signs)), np.zeros((0, len(signs))), [0.0]
    for evaluation in found.evaluations:
        point = (signs * [evaluation.metrics[name] for name in objectives] - low) / span
        if (front >= point).all(axis=1).any():
            volumes.append(volumes[-1])
            continue
        front = np.vstack((front[~(front <= point).all(axis=1)], point))
        volumes.append(hypervolume(front, reference))
    scaled = (columns - low) / span
    return np.array(volumes[1:]) / hypervolume(scaled[is_non_dominated(scaled)], reference)


MODES: Mapping[str, Mode] = {
    "search_quality": Mode(name="search_quality", strategies={**STRATEGIES, **SAMPLED}),
    "shuffled": Mode(name="shuffled", strategies={**STRATEGIES, **SAMPLED}),
    "early_stopping": Mode(
        name="early_stopping", strategies=SCHEDULERS, budgets=(50, 100, 200), evaluations=500, n_workers=4
    ),
    "hypervolume": Mode(name="hypervolume", strategies=FRONTS),
}


# --- results so far --------------------------------------------------------------------------------------------------


def read(path: Path) -> list[dict[str, Any]]:
    """Return the results so far; a last line that was cut is dropped."""
    if not path.exists():
        return []
    content = path.read_text()
    whole = content[: content.rfind("\n") + 1]
    if whole != content:
        path.write_text(whole)
    return [json.loads(line) for line in whole.splitlines()]


def arguments() -> argparse.Namespace:
    """Return the command line."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", default="nasbench201", choices=list(BENCHMARKS))
    parser.add_argument("--table", help="nb201_cifar10.csv.gz; the tables of digits are shipped")
    parser.add_argument("--results", default="results/search_quality", help="folder of results")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--strategies", nargs="+", help="some of those that the mode compares; by default all")
    parser.add_argument("--evaluations", type=int, help="per search; by default as many as the last budget")
    parser.add_argument("--second", metavar="COLUMN", help="of the table, to minimise beside the accuracy")
    parser.add_argument("--known", action="store_true", help="the column of --second is known before a trial")
    parser.add_argument("--join", metavar="FILE", help="more columns for the table")
    modes = parser.add_mutually_exclusive_group()
    for name, about in (
        ("--shuffle", "deal the accuracies out at random"),
        ("--early-stopping", "schedulers against training in full"),
        ("--hypervolume", "two objectives"),
    ):
        mode = {"--shuffle": "shuffled"}.get(name, name[2:].replace("-", "_"))
        modes.add_argument(name, dest="mode", action="store_const", const=mode, default="search_quality", help=about)
    args = parser.parse_args()
    if args.benchmark == "nasbench201" and not args.table:
        parser.error("--benchmark nasbench201 needs --table nb201_cifar10.csv.gz")
    if args.known and not (args.mode == "hypervolume" and args.second):
        parser.error("--known is for --hypervolume --second COLUMN")
    known = MODES[args.mode].strategies
    if unknown := set(args.strategies or ()) - set(known):
        parser.error(f"--strategies: {sorted(unknown)[0]!r} is none of {', '.join(known)}")
    return args


def main() -> None:
    args = arguments()
    mode, benchmark = MODES[args.mode], BENCHMARKS[args.benchmark]
    if args.mode == "hypervolume":
        second = f"min:{args.second}" if args.second else benchmark.second
        name = f"{mode.name}_{args.second}" if args.second else mode.name
        mode = replace(mode, name=name, objectives=("accuracy", second))
    if args.known:
        known = Metric(name=args.second, mode="min", measure=from_table, needs="shapes")
        mode = replace(mode, name=f"{mode.name}_known", metrics=(known,))
    names = args.strategies or list(mode.strategies)
    n = args.evaluations or mode.evaluations
    folder = Path(args.results) / args.benchmark
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{mode.name}.jsonl"
    loaded = benchmark.with_columns(args.table, args.join, args.second, folder).load(None)
    optimum = mode.optimum(loaded)
    rows = read(file)
    done = {(row["strategy"], row["seed"]) for row in rows if row["n"] >= n}
    for seed in range(args.seeds):
        table = loaded.shuffled("accuracy", seed) if args.mode == "shuffled" else loaded
        for name in names:
            if (name, seed) not in done:
                row = {"strategy": name, "seed": seed, "n": n}
                rows.append(row | mode.run(mode.strategies[name], table, benchmark.space, n, seed))
                with file.open("a") as out:
                    out.write(json.dumps(rows[-1]) + "\n")
    latest = {(row["strategy"], row["seed"]): row for row in rows}  # a longer run replaces a shorter one
    chosen = [row for (name, seed), row in latest.items() if name in names and seed < args.seeds]
    chosen.sort(key=lambda row: (names.index(row["strategy"]), row["seed"]))
    budgets = [budget for budget in mode.budgets if budget <= n] or [n]
    if args.mode == "early_stopping":
        told = stopping_summary(chosen, budgets)
        text = stopping_markdown(told, budgets)
    else:
        told = summary(chosen, budgets, optimum)
        text = markdown(told, budgets, compares=args.mode in ("shuffled", "hypervolume"))
    told.to_csv(folder / f"{mode.name}.csv", index=False)
    (folder / f"{mode.name}.md").write_text(text)
    plot(chosen, folder / f"{mode.name}.png", optimum)
    print(text, end="")


if __name__ == "__main__":
    main()
