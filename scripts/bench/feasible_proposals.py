"""Proposals under limits that few architectures meet: how many are feasible, how long each takes, how many are refused.

Searchers are asked directly, without Ray, one trial at a time. Tasks, each a limit on costs that are known before a
trial:

- ``fastest``: latencies of NAS-Bench-201 on a GPU, from a table; 15 of the 15,625 members meet the limit, or 50.
- ``fast and large``: the same latency, and a lower limit on parameters; 15 members, or 50.
- ``mobilenetv3``: multiply-adds, counted, as few as 1 of 1,000 random architectures has.
- ``mobilenetv3, measured``: the same as if they were measured on a device, which takes time: the number of
  measurements counts.

    python scripts/bench/feasible_proposals.py --table nb201_cifar10.csv.gz --latencies nb201_latency_help.csv.gz
    python scripts/bench/feasible_proposals.py ... --strategies random gp --tasks "fastest, 15" --seeds 3
    python scripts/bench/feasible_proposals.py ... --uniformity
    python scripts/bench/feasible_proposals.py ... --lax

``--uniformity`` compares the members that random search proposes first, over many searches, with uniform draws.
``--lax`` searches NAS-Bench-201 for accuracy with half of the space allowed: there repair should change nothing.
"""

import argparse
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raynas.core import feasible_region
from raynas.core.architecture import Architecture, Option
from raynas.core.cost_limits import Costs
from raynas.core.metric import Candidate, Metric
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.metrics import METRICS, Measurer
from raynas.search_spaces import MobileNetV3, NASBench201
from raynas.search_spaces.nasbench201 import from_arch_str
from raynas.strategies import STRATEGIES
from raynas.testing import run_trials

LATENCY = "latency_ms_1080ti_32"
N_WANTED = 50
"""Number of feasible proposals asked for, where there are so many members."""


@dataclass(frozen=True)
class Task:
    """A limit that few architectures meet.

    Args:
        space: the space.
        constraints: the limits.
        costs: measure what they limit.
        accuracy: a score to learn from.
        wanted: number of feasible proposals asked for.
        metrics: the costs that follow from the architecture alone.
    """

    space: SearchSpace
    constraints: Sequence[str]
    costs: Costs
    accuracy: Callable[[Mapping[str, Option]], float]
    wanted: int
    metrics: Sequence[Metric] = ()


def counted(name: str) -> Metric:
    """Return a metric that follows from the architecture alone."""
    return Metric(name=name, mode="min", measure=no_measurement, needs="shapes")


def no_measurement(candidate: Candidate) -> float:
    """Raise: the costs are given."""
    raise NotImplementedError


def table_of(table: str, latencies: str) -> pd.DataFrame:
    """Return NAS-Bench-201 by architecture: accuracy, parameters and latencies."""
    space = NASBench201()
    frame: pd.DataFrame = pd.read_csv(table).merge(pd.read_csv(latencies), on="arch_str")
    frame.index = pd.Index([space.canonical(from_arch_str(text)) for text in frame["arch_str"]])
    return frame


def tasks(frame: pd.DataFrame) -> Iterator[tuple[str, Task]]:
    """Yield the tasks by name."""
    accuracy, latency, params = (
        dict(zip(frame.index, frame[name], strict=True)) for name in ("val_accuracy_epoch12", LATENCY, "params_M")
    )
    costs: Costs = {"latency": latency.__getitem__, "size": params.__getitem__}

    def on_table(n: int, constraints: Sequence[str]) -> Task:
        metrics = [counted("latency"), counted("size")]
        return Task(NASBench201(), constraints, costs, lambda arch: accuracy[Architecture(arch)], n, metrics)

    for n in (15, 50):
        yield f"fastest, {n}", on_table(n, [f"latency <= {np.sort(frame[LATENCY])[n - 1]}"])
    large = frame["params_M"] >= frame["params_M"].quantile(0.75)
    for n in (15, 50):
        limit = np.sort(frame[LATENCY][large])[n - 1]
        least = frame["params_M"].quantile(0.75)
        yield f"fast and large, {n}", on_table(n, [f"latency <= {limit}", f"size >= {least}"])
    space = MobileNetV3()
    macs = Measurer(space).costs([METRICS["macs"]])["macs"]
    rng = np.random.default_rng(0)
    limit = float(np.quantile([macs(space.sample(rng)) for _ in range(5000)], 0.001))
    for name, metrics in (("", [counted("cost")]), (", measured", [])):
        yield f"mobilenetv3{name}", Task(space, [f"cost <= {limit}"], {"cost": macs}, made_up, N_WANTED, metrics)


def made_up(arch: Mapping[str, Option]) -> float:
    """Return an accuracy to which each option adds its part."""
    parts = [zlib.crc32(f"{name}={option}".encode()) % 997 / 997 for name, option in arch.items()]
    return sum(parts) / len(parts)


def searcher_of(task: Task, strategy: str, seed: int) -> tuple[ArchitectureSearcher, Counter[str]]:
    """Return a searcher, and the number of its measurements by cost."""
    n_measured: Counter[str] = Counter()

    def counting(name: str, cost: Callable[[Architecture], float]) -> Callable[[Architecture], float]:
        def measure(arch: Architecture) -> float:
            n_measured[name] += 1
            return cost(arch)

        return measure

    costs = {name: counting(name, cost) for name, cost in task.costs.items()}
    made = STRATEGIES[strategy]().for_budget(task.wanted)
    searcher = made.searcher(task.space, "accuracy", task.constraints, metrics=task.metrics, costs=costs, seed=seed)
    return searcher, n_measured


def search(task: Task, strategy: str, seed: int) -> dict[str, float]:
    """Search until enough is proposed or the search ends; return the figures of a row."""
    searcher, n_measured = searcher_of(task, strategy, seed)
    seconds: list[float] = []
    for trial in range(task.wanted):
        began = time.process_time()
        config = searcher.suggest(str(trial))
        seconds.append(time.process_time() - began)
        if not isinstance(config, dict):
            break
        searcher.on_trial_complete(str(trial), {"accuracy": task.accuracy(config["arch"]), "training_iteration": 1})
    events = Counter(record["event"] for record in searcher.archive)
    return {
        "feasible": events["proposed"],
        "ms": 1000 * sum(seconds) / max(events["proposed"], 1),
        "first": seconds[0],
        "refused": events["refused"],
        "repaired": events["repaired"],
        "measured": max(n_measured.values(), default=0),
    }


def proposals(named: Mapping[str, Task], strategies: Sequence[str], n_seeds: int) -> None:
    """Print a table per task: means over seeds."""
    for name, task in named.items():
        print(f"\n## {name}: {' and '.join(task.constraints)}\n")
        print("| strategy | feasible (fewest) | ms per proposal | s of the first | refused | repaired | measured |")
        print("|---|---|---|---|---|---|---|")
        for strategy in strategies:
            rows = [search(task, strategy, seed) for seed in range(n_seeds)]
            mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
            fewest = min(row["feasible"] for row in rows)
            print(
                f"| {strategy} | {mean['feasible']:.1f} ({fewest:.0f}) of {task.wanted} | {mean['ms']:.1f} "
                f"| {mean['first']:.2f} | {mean['refused']:.0f} | {mean['repaired']:.0f} | {mean['measured']:.0f} |",
                flush=True,
            )


def first_proposals(task: Task, n_seeds: int) -> None:
    """Print how far the first proposals of random search, over many searches, are from uniform draws."""
    n_per_search, counts = 5, Counter[Architecture]()
    for seed in range(n_seeds):
        searcher, _ = searcher_of(task, "random", seed)
        for trial in range(n_per_search):
            config = searcher.suggest(str(trial))
            counts[task.space.from_config(config)] += 1
            searcher.on_trial_complete(str(trial), {"accuracy": 0.5, "training_iteration": 1})
    rng = np.random.default_rng(0)
    exact = np.zeros((100, N_WANTED))
    for repetition in exact:
        for _ in range(n_seeds):
            repetition[rng.choice(N_WANTED, n_per_search, replace=False)] += 1
    found = np.zeros(N_WANTED)
    found[: len(counts)] = list(counts.values())

    def distance(n: NDArray[np.float64]) -> float:
        return float(np.abs(n / n.sum() - 1 / N_WANTED).sum() / 2)

    ideal = [distance(repetition) for repetition in exact]
    print(
        f"{len(counts)} of {N_WANTED} members; total variation distance from uniform {distance(found):.3f}, of uniform "
        f"draws {np.mean(ideal):.3f} (5 % to 95 %: {np.quantile(ideal, 0.05):.3f} to {np.quantile(ideal, 0.95):.3f})",
        flush=True,
    )


def uniformity(named: Mapping[str, Task], n_seeds: int) -> None:
    """Compare random search with uniform draws, with all members predicted and with members drawn."""
    for name in ("fastest, 50", "fast and large, 50"):
        for limit in (feasible_region.MAX_ENUMERATED, 0):
            print(f"{name}, {'members listed' if limit else 'members drawn'}: ", end="")
            with patch.object(feasible_region, "MAX_ENUMERATED", limit):
                first_proposals(named[name], n_seeds)


def lax(frame: pd.DataFrame, n_seeds: int, n_trials: int = 100) -> None:
    """Print the best accuracy of searches with half of the space allowed."""
    accuracy = dict(zip(frame.index, frame["val_accuracy_epoch200"], strict=True))
    macs = dict(zip(frame.index, frame["macs_M"], strict=True))
    half = f"size <= {frame['macs_M'].median()}"
    task = Task(NASBench201(), [half], {"size": macs.__getitem__}, accuracy.__getitem__, n_trials, [counted("size")])
    best = frame["val_accuracy_epoch200"][frame["macs_M"] <= frame["macs_M"].median()].max()
    print(f"{half}; the best that complies has {best:.2f}")
    print("| strategy | 25 | 50 | 100 | repaired |\n|---|---|---|---|---|")
    for strategy in ("random", "evolution"):
        found, n_repaired = [], 0
        for seed in range(n_seeds):
            searcher, _ = searcher_of(task, strategy, seed)
            configs = run_trials(searcher, lambda c: {"accuracy": accuracy[Architecture(c["arch"])]}, n_trials)
            found.append(np.maximum.accumulate([accuracy[Architecture(config["arch"])] for config in configs]))
            n_repaired += sum(record["event"] == "repaired" for record in searcher.archive)
        means = " | ".join(f"{np.mean([row[n - 1] for row in found]):.3f}" for n in (25, 50, 100))
        print(f"| {strategy} | {means} | {n_repaired} |", flush=True)


def arguments() -> argparse.Namespace:
    """Return the command line."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", required=True, help="nb201_cifar10.csv.gz")
    parser.add_argument("--latencies", required=True, help="nb201_latency_help.csv.gz")
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=list(STRATEGIES))
    parser.add_argument("--tasks", nargs="+", help="some of the tasks; by default all")
    parser.add_argument("--seeds", type=int, default=3)
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--uniformity", action="store_true", help="compare random search with uniform draws")
    modes.add_argument("--lax", action="store_true", help="search with half of the space allowed")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    frame = table_of(args.table, args.latencies)
    if args.lax:
        lax(frame, args.seeds)
        return
    named = dict(tasks(frame))
    if args.uniformity:
        uniformity(named, args.seeds)
        return
    proposals({name: named[name] for name in args.tasks or named}, args.strategies, args.seeds)


if __name__ == "__main__":
    main()
