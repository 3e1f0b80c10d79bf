"""Precision of layers as decisions, against the truth: every assignment of 8 and 32 bits to the layers is measured.

Networks of at most ten layers, trained here (``trained_models.py``): a residual network of images, and a language model
of one block, whose look-ups stay in 32 bits. Of all 2^k assignments the loss on validation data is that of the
quantized file, computed by ONNX Runtime, and the latency (one example, one thread) and the size are those of the same
file. Latencies are the least of the medians of several rounds over all assignments, so that a busy minute does not
decide between two of them. Then searches are simulated on this table. Their regret is

- of the front of loss and latency, or loss and size: the hypervolume that they miss, as a share of that of the true
  front; the box has the worst and the best of the table as its corners,
- under a gate: the latency of their fastest assignment whose loss is at most 1 % above that in 32 bits, over the least
  one, minus 1.

Nothing is tuned on the table: strategies have their defaults, calibration is on training data.

    python scripts/bench/precision.py --folder models --tables tables
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raynas.core.architecture import Architecture, Config
from raynas.core.inputs import Arguments
from raynas.core.metric import Candidate, Metric
from raynas.core.one_network import OneNetwork
from raynas.core.pareto import hypervolume, is_non_dominated
from raynas.errors import RaynasError
from raynas.metrics import read_goal
from raynas.metrics.latency import LatencySettings, time_deployment
from raynas.precision import PrecisionSpace, Quantized, Quantizer, RuntimeNetwork
from raynas.strategies import STRATEGIES
from raynas.testing import run_trials
from scripts.bench.trained_models import Batches, Trained, gpt, loss_of, residual

METRICS = ("loss", "latency_ms", "size_mb")
PAIRS = (("loss", "latency_ms"), ("loss", "size_mb"))
GATE = 1.01

Row = Mapping[str, float]


@dataclass(frozen=True)
class Case:
    """A network, its space, and what quantizes it."""

    name: str
    trained: Trained
    space: PrecisionSpace
    quantizer: Quantizer

    @classmethod
    def of(cls, name: str, trained: Trained, runtime: str = "onnxruntime") -> "Case":
        """Make the case of a trained network, calibrated on training data."""
        given = OneNetwork(trained.model, trained.train[0][0][:1])
        options = ("float32", "int8") if runtime == "onnxruntime" else ("float32", "bfloat16")
        quantizer = Quantizer(batches=[inputs for inputs, _ in trained.train[:8]])
        keep = [name for name in ("characters", "positions") if hasattr(trained.model, name)]
        return cls(name, trained, PrecisionSpace(given, options, runtime=runtime, keep=keep), quantizer)

    def network(self, point: Mapping[str, object]) -> Quantized:
        """Return the network of a point."""
        return self.quantizer.of(self.space, point, self.trained.model)

    def scored(self, point: Mapping[str, object]) -> dict[str, float]:
        """Return loss, accuracy and size of a point."""
        network = self.network(point)
        return {**score(network, self.trained.valid), "size_mb": network.size_mb}

    def timed(self, point: Mapping[str, object], n_examples: int = 1) -> float:
        """Return the latency of a batch, in ms."""
        return latency(self.network(point), Arguments.of(self.trained.valid[0][0][:n_examples]))


def fewer(trained: Trained) -> Trained:
    """Return a trained network with the first four batches of validation data."""
    return Trained(trained.model, trained.train, trained.valid[:4])


def score(network: Quantized, batches: Batches) -> dict[str, float]:
    """Return the loss and the accuracy of a network."""
    with torch.no_grad():
        outputs = [(network(inputs), targets) for inputs, targets in batches]
    losses = [float(loss_of(logits, targets)) for logits, targets in outputs]
    right = [float((logits.argmax(-1) == targets).float().mean()) for logits, targets in outputs]
    return {"loss": statistics.fmean(losses), "accuracy": statistics.fmean(right)}


def latency(network: Quantized, inputs: Arguments) -> float:
    """Return the latency of a batch, in ms, with one thread."""
    backend = "onnxruntime" if isinstance(network, RuntimeNetwork) else "eager"
    settings = LatencySettings(
        backend=backend, batch_size=inputs.n_examples, max_seconds=0.05, n_runs=50, max_attempts=1
    )
    return time_deployment(network.deployment(inputs), settings).ms


def table_of(case: Case, path: Path, rounds: int) -> dict[Architecture, Row]:
    """Return the metrics of all points, from a file as far as they were measured before.

    Args:
        case: the network.
        path: the file.
        rounds: number of times that each latency is measured.
    """
    points = list(case.space.enumerate())
    path.parent.mkdir(parents=True, exist_ok=True)
    known: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    for n in range(1, rounds + 1):
        for i, point in enumerate(points):
            row = known.setdefault(point.to_json(), {"times": []})
            if "loss" not in row:
                row |= case.scored(point)
            if len(row["times"]) < n:
                row["times"].append(case.timed(point))
            if i % 32 == 31 or i + 1 == len(points):
                path.write_text(json.dumps(known))
    return {point: row_of(known[point.to_json()]) for point in points}


def row_of(known: Mapping[str, Any]) -> Row:
    """Return the metrics of a point, with the least of its latencies."""
    return {"latency_ms": min(known["times"]), **{n: value for n, value in known.items() if n != "times"}}


def agreement(path: Path) -> float:
    """Return the correlation of the logarithms of the latencies of the first two rounds: near 0 if they are noise."""
    times = [row["times"][:2] for row in json.loads(path.read_text()).values()]
    return float(np.corrcoef(np.log(times).T)[0, 1])


class Box:
    """Measures fronts of two metrics of a table, of which less is better."""

    def __init__(self, rows: Sequence[Row], names: Sequence[str]) -> None:
        self.names = names
        values = self._values(rows)
        self.least, self.most = values.min(0), values.max(0)
        self.truth = self.volume(rows)

    def _values(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        return np.array([[row[name] for name in self.names] for row in rows])

    def volume(self, rows: Sequence[Row]) -> float:
        """Return the share of the box that rows dominate."""
        scaled = (self.most - self._values(rows)) / (self.most - self.least)
        return hypervolume(scaled, np.zeros(len(self.names)))

    def front(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows of the front, by the second metric."""
        keep = is_non_dominated(-self._values(rows))
        return sorted((row for row, kept in zip(rows, keep, strict=True) if kept), key=lambda row: row[self.names[1]])

    def regret(self, rows: Sequence[Row]) -> float:
        """Return the share of the true volume that rows miss."""
        return 1 - self.volume(rows) / self.truth


def given(candidate: Candidate) -> float:
    """Raise: costs are in the table."""
    raise RaynasError("costs are in the table")


def searched(
    case: Case, table: Mapping[Architecture, Row], names: Sequence[str], limit: str, strategy: str, n: int, seed: int
) -> list[Row]:
    """Return the rows that a search on the table tried."""
    metrics = [Metric(name=name, mode="min", measure=given) for name in ("latency_ms", "size_mb")]
    goal = read_goal([f"min:{name}" for name in names], [limit] if limit else [], metrics)

    def result(config: Config) -> Mapping[str, object]:
        return {**table[case.space.from_config(config)], "training_iteration": 1}

    searcher = STRATEGIES[strategy]().for_budget(n).searcher(case.space, goal, seed=seed, costs={})
    return [table[case.space.from_config(config)] for config in run_trials(searcher, result, n)]


def uniform(case: Case, eager: Case, rounds: int) -> None:
    """Print the metrics of one precision for all layers, on each runtime."""
    print("| runtime | precision | loss | accuracy | size, MB | ms, 1 example | ms, 16 examples |")
    print("|---|---|---|---|---|---|---|")
    dynamic = Case(
        case.name,
        case.trained,
        PrecisionSpace(case.space.space, ("float32", "int8", "int8_dynamic"), keep=case.space.keep),
        case.quantizer,
    )
    for each, precisions in ((dynamic, ("float32", "int8", "int8_dynamic")), (eager, ("float32", "bfloat16"))):
        for precision in precisions:
            point = each.space.uniform(precision)
            row = each.scored(point)
            one, many = (min(each.timed(point, n) for _ in range(rounds)) for n in (1, 16))
            numbers = f"{row['loss']:.4f} | {row['accuracy']:.4f} | {row['size_mb']:.3f} | {one:.3f} | {many:.3f}"
            print(f"| {each.space.runtime} | {precision} | {numbers} |", flush=True)


def report(
    case: Case, table: Mapping[Architecture, Row], strategies: Sequence[str], trials: Sequence[int], n: int
) -> None:
    """Print the fronts of a table, and the regrets of searches."""
    rows = list(table.values())
    exact, low = table[case.space.default], table[case.space.uniform("int8")]
    limit = GATE * exact["loss"]
    fastest = min((row for row in rows if row["loss"] <= limit), key=lambda row: row["latency_ms"])
    print(f"\n{len(rows)} assignments to {len(case.space.layers)} layers; loss {exact['loss']:.4f} in 32 bits, ")
    print(f"{low['loss']:.4f} in 8. Within the gate, loss <= {limit:.4f}: {fastest['latency_ms']:.3f} ms, ")
    print(f"in 32 bits {exact['latency_ms']:.3f} ms, in 8 {low['latency_ms']:.3f} ms.\n")
    for names in PAIRS:
        front = Box(rows, names).front(rows)
        listed = ", ".join(f"({row['loss']:.4f}, {row[names[1]]:.3f})" for row in front)
        print(f"True front of {' and '.join(names)}, {len(front)} points: {listed}\n")
    coupled = PrecisionSpace(case.space.space, ("float32", "int8"), keep=case.space.keep, couple_sums=True)
    together = [coupled.precisions(point) for point in coupled.enumerate()]
    part = [row for point, row in table.items() if case.space.precisions(point) in together]
    boxes = {names: Box(rows, names) for names in PAIRS}
    missed = ", ".join(f"{' and '.join(names)}: {box.regret(part):.1%}" for names, box in boxes.items())
    print(f"With sums coupled {len(part)} assignments are left, whose fronts miss of the true ones {missed}.\n")
    print(
        "| strategy | trials | front of loss, latency | front of loss, size | under the gate |\n|---|---|---|---|---|"
    )
    for strategy in strategies:
        for budget in trials:
            cells = []
            for names, box in boxes.items():
                found = [box.regret(searched(case, table, names, "", strategy, budget, seed)) for seed in range(n)]
                cells.append(f"{statistics.fmean(found):.1%} (at most {max(found):.1%})")
            gated = [
                gate_regret(
                    searched(case, table, ["latency_ms"], f"loss <= {limit}", strategy, budget, seed), limit, fastest
                )
                for seed in range(n)
            ]
            cells.append(f"{statistics.fmean(gated):.1%} (at most {max(gated):.1%})")
            print(f"| {strategy} | {budget} | {' | '.join(cells)} |", flush=True)


def gate_regret(rows: Sequence[Row], limit: float, fastest: Row) -> float:
    """Return how much slower the fastest row within the gate is than the fastest of all; that of 32 bits is known."""
    within = [row["latency_ms"] for row in rows if row["loss"] <= limit]
    return min(within, default=float("inf")) / fastest["latency_ms"] - 1


def main(given: Sequence[str] | None = None) -> None:
    """Measure the tables and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of the trained networks")
    parser.add_argument("--tables", type=Path, required=True, help="folder of the measured tables")
    parser.add_argument("--networks", nargs="+", default=["residual", "gpt"], choices=["residual", "gpt"])
    parser.add_argument("--strategies", nargs="+", default=["random", "evolution", "nsga2", "optuna"])
    parser.add_argument("--trials", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=2, help="number of times that each latency is measured")
    parser.add_argument("--steps", type=int, help="of the training of the language model", default=1500)
    parser.add_argument("--epochs", type=int, help="of the training of the residual network", default=15)
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    for name in arguments.networks:
        if name == "gpt":
            trained = fewer(gpt(arguments.folder, depth=1, steps=arguments.steps))
        else:
            trained = fewer(residual(arguments.folder, epochs=arguments.epochs))
        case, eager = Case.of(name, trained), Case.of(name, trained, "eager")
        print(f"\n## {name}\n")
        uniform(case, eager, arguments.rounds)
        table = table_of(case, arguments.tables / f"{name}.json", arguments.rounds)
        if arguments.rounds > 1:
            print(f"\nLatencies of two rounds correlate by {agreement(arguments.tables / f'{name}.json'):.2f}.")
        report(case, table, arguments.strategies, arguments.trials, arguments.seeds)


if __name__ == "__main__":
    main()
