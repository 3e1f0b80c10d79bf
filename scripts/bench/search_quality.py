"""How good is what a strategy finds? Best value by number of evaluations, over many seeds, on a table of networks.

One line of a file of results per strategy and seed: what is there is not run again, so that a run which was interrupted
goes on. ``--shuffle`` deals the accuracies out to other architectures at random: then nothing can beat random search,
and a strategy that does has seen what it must not.

    python scripts/bench/search_quality.py --table nb201_cifar10.csv.gz --seeds 50 --results results/search_quality
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raynas.search_spaces.nasbench201 import NASBench201
from raynas.strategies import (
    MCTS,
    NSGA2,
    PPO,
    GaussianProcess,
    GeneticAlgorithm,
    HyperOpt,
    LaNAS,
    LocalSearch,
    Optuna,
    Progressive,
    QLearning,
    RandomSearch,
    RegularizedEvolution,
    Reinforce,
    Strategy,
)
from raynas.trials.tabular import Table, Tabular, drive

STRATEGIES: Mapping[str, Strategy] = {
    "random": RandomSearch(),
    "evolution": RegularizedEvolution(population_size=50, tournament_size=10),
    "evolution, small": RegularizedEvolution(population_size=20, tournament_size=5),
    "genetic": GeneticAlgorithm(),
    "NSGA-II": NSGA2(),
    "local search": LocalSearch(),
    "progressive": Progressive(),
    "MCTS": MCTS(),
    "LaNAS": LaNAS(),
    "REINFORCE": Reinforce(),
    "PPO": PPO(),
    "Q-learning": QLearning(),
    "Optuna TPE": Optuna(),
    "HyperOpt TPE": HyperOpt(),
    "Gaussian process": GaussianProcess(),
    "Gaussian process, EI": GaussianProcess(acquisition="ei"),
    "Gaussian process, Thompson": GaussianProcess(acquisition="thompson"),
}
"""What is compared, by the name in tables and plots."""

BUDGETS = (25, 50, 100, 200)


def nasbench201(path: str) -> Tabular:
    """The table of NAS-Bench-201 on CIFAR-10, its accuracies in percent."""
    return Tabular(
        table=path,
        arch="arch_str",
        read_arch="raynas.search_spaces.nasbench201:from_arch_str",
        metrics={"accuracy": "val_accuracy_epoch200"},
        fidelities=(200,),
    )


def run(strategy: Strategy, table: Table, n: int, seed: int) -> dict[str, Any]:
    """One search: the best value after each evaluation, and how long a proposal took in ms."""
    began = time.perf_counter()
    (trajectory,) = drive(strategy, table, NASBench201(), n, [seed])
    return {
        "best": [round(float(value), 4) for value in trajectory.best],
        "ms": 1000 * (time.perf_counter() - began) / n,
    }


def best_at(row: Mapping[str, Any], budget: int) -> float:
    """The best of a search after so many evaluations; of all, if it ended before."""
    best: Sequence[float] = row["best"]
    return best[min(budget, len(best)) - 1]


def summary(rows: Sequence[Mapping[str, Any]], budgets: Sequence[int], optimum: float) -> pd.DataFrame:
    """Mean best value, its standard error and the share of seeds at the optimum, by strategy and budget."""
    lines = []
    for name in dict.fromkeys(row["strategy"] for row in rows):
        own = [row for row in rows if row["strategy"] == name]
        line: dict[str, Any] = {"strategy": name, "seeds": len(own), "ms": np.mean([row["ms"] for row in own])}
        for budget in budgets:
            values = np.array([best_at(row, budget) for row in own])
            error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
            line |= {f"best@{budget}": values.mean(), f"error@{budget}": error}
            line[f"optimum@{budget}"] = (values >= optimum - 1e-3).mean()
        lines.append(line)
    found: pd.DataFrame = pd.DataFrame(lines)
    return found


def markdown(table: pd.DataFrame, budgets: Sequence[int]) -> str:
    """The summary as a Markdown table: mean ± standard error (share of seeds at the optimum)."""
    head = ["strategy", "seeds", *(f"after {budget}" for budget in budgets), "ms per trial"]
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join('---' for _ in head)}|"]
    for _, row in table.iterrows():
        cells = [
            f"{row[f'best@{b}']:.3f} ± {row[f'error@{b}']:.3f} ({100 * row[f'optimum@{b}']:.0f} %)" for b in budgets
        ]
        lines.append(f"| {row['strategy']} | {row['seeds']} | {' | '.join(cells)} | {row['ms']:.1f} |")
    return "\n".join(lines) + "\n"


def plot(rows: Sequence[Mapping[str, Any]], path: Path, optimum: float) -> None:
    """The mean of the best value so far, with a band of one standard error."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for name in dict.fromkeys(row["strategy"] for row in rows):
        curves = [row["best"] for row in rows if row["strategy"] == name]
        length = max(map(len, curves))
        values = np.array([curve + [curve[-1]] * (length - len(curve)) for curve in curves])
        mean, error = values.mean(axis=0), values.std(axis=0) / len(values) ** 0.5
        x = np.arange(1, length + 1)
        axes.plot(x, mean, label=name)
        axes.fill_between(x, mean - error, mean + error, alpha=0.2)
    axes.axhline(optimum, color="grey", linestyle=":", label="optimum")
    axes.set(xlabel="evaluations", ylabel="best value so far", xscale="log", ylim=(optimum - 2, optimum + 0.1))
    axes.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def read(path: Path) -> list[dict[str, Any]]:
    """The results so far; a last line that was cut is dropped."""
    if not path.exists():
        return []
    content = path.read_text()
    whole = content[: content.rfind("\n") + 1]
    if whole != content:
        path.write_text(whole)
    return [json.loads(line) for line in whole.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", required=True, help="nb201_cifar10.csv.gz")
    parser.add_argument("--results", default="results/search_quality", help="folder of results")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=list(STRATEGIES))
    parser.add_argument("--evaluations", type=int, default=max(BUDGETS), help="per search")
    parser.add_argument("--shuffle", action="store_true", help="deal the accuracies out at random")
    args = parser.parse_args()
    folder = Path(args.results)
    folder.mkdir(parents=True, exist_ok=True)
    stem = "shuffled" if args.shuffle else "search_quality"
    file = folder / f"{stem}.jsonl"
    loaded = nasbench201(args.table).load(NASBench201())
    optimum = float(loaded.values["accuracy"].max())
    rows = read(file)
    done = {(row["strategy"], row["seed"]) for row in rows if row["n"] >= args.evaluations}
    for seed in range(args.seeds):
        for name in args.strategies:
            if (name, seed) not in done:
                table = loaded.shuffled("accuracy", seed) if args.shuffle else loaded
                row = {"strategy": name, "seed": seed, "n": args.evaluations}
                rows.append(row | run(STRATEGIES[name], table, args.evaluations, seed))
                with file.open("a") as out:
                    out.write(json.dumps(rows[-1]) + "\n")
    latest = {(row["strategy"], row["seed"]): row for row in rows}  # a longer run replaces a shorter one
    chosen = [row for (name, seed), row in latest.items() if name in args.strategies and seed < args.seeds]
    chosen.sort(key=lambda row: (args.strategies.index(row["strategy"]), row["seed"]))
    budgets = [budget for budget in BUDGETS if budget <= args.evaluations] or [args.evaluations]
    table_of_all = summary(chosen, budgets, optimum)
    table_of_all.to_csv(folder / f"{stem}.csv", index=False)
    (folder / f"{stem}.md").write_text(markdown(table_of_all, budgets))
    plot(chosen, folder / f"{stem}.png", optimum)
    print(markdown(table_of_all, budgets), end="")


if __name__ == "__main__":
    main()
