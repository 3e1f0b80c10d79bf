"""Networks and accelerators searched at once, against the best of one of them for the default of the other.

The networks are those of NAS-Bench-201, with accuracies from a table; the accelerators are those of
``AcceleratorSpace`` that are not larger than the default one. Objectives are validation accuracy, latency and energy.
Compared are

- all networks: the 15,625 of them on the default accelerator,
- all accelerators for the default network, a cell that is a residual block of two convolutions,
- joint search: networks and accelerators at once, with few trials.

The first two are exhaustive, so no search of one half, with whatever strategy, finds more.

The measure is the hypervolume of the front that validation accuracy gives, with test accuracies: 1 is the box between a
reference point (80 % accuracy, the largest latency and energy of random points of the joint space) and the ideal one
(the best test accuracy of the table, the smallest latency and energy of these). Latency and energy are on logarithmic
scales: they span decades.

    python scripts/bench/codesign.py --table nb201_cifar10.csv.gz
    python scripts/bench/codesign.py --table nb201_cifar10.csv.gz --strategies random nsga2 --trials 200 --seeds 3
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raynas.codesign import Accelerator, AcceleratorSpace, CodesignSpace, MatrixProduct, cost_on, products_of
from raynas.core.architecture import Architecture, Config, Option
from raynas.core.metric import Candidate, Metric
from raynas.core.pareto import hypervolume, is_non_dominated
from raynas.metrics import read_goal
from raynas.search_spaces import NASBench201
from raynas.search_spaces.nasbench201 import from_arch_str
from raynas.strategies import STRATEGIES
from raynas.testing import run_trials

NETWORKS, ACCELERATORS = NASBench201(), AcceleratorSpace()
JOINT = CodesignSpace(NETWORKS, ACCELERATORS)
RESIDUAL = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"
COSTS = ("accelerator_latency_ms", "accelerator_energy_mj")
AREA = "accelerator_area_mm2"
LEAST_ACCURACY, N_SCALING = 0.8, 2000


def no_measurement(candidate: Candidate) -> float:
    """Raise: the costs are given."""
    raise NotImplementedError


METRICS = [Metric(name=name, mode="min", measure=no_measurement) for name in (*COSTS, AREA)]


@dataclass(frozen=True)
class Known:
    """Accuracies of the networks, and products of the networks by the number of convolutions of each size.

    The products of a network of this space follow from these numbers alone.
    """

    accuracies: Mapping[Architecture, tuple[float, float]]
    products: Mapping[tuple[int, ...], Sequence[MatrixProduct]]

    @classmethod
    def of(cls, path: str) -> "Known":
        """Read the table, and trace a network of each kind."""
        frame = pd.read_csv(path)
        archs = [NETWORKS.canonical(from_arch_str(text)) for text in frame["arch_str"]]
        percent = zip(frame["val_accuracy_epoch200"], frame["test_accuracy_epoch200"], strict=True)
        kinds = {kind(arch): arch for arch in archs}
        example = partial(NETWORKS.example_input, 1, "meta")
        traced = {of: products_of(NETWORKS.build(arch), example) for of, arch in kinds.items()}
        return cls(dict(zip(archs, [(a / 100, b / 100) for a, b in percent], strict=True)), traced)

    def cost(self, name: str, point: Mapping[str, Option]) -> float:
        """Return a cost of a point of the joint space."""
        found = cost_on(self.products[kind(point)], JOINT.accelerator(point))
        return float(getattr(found, name.removeprefix("accelerator_")))

    def scores(self, point: Architecture) -> tuple[list[float], list[float]]:
        """Return accuracy and costs of a point, larger is better: with validation, and with test accuracy."""
        valid, test = self.accuracies[JOINT.inside(point)]
        costs = [-float(np.log(self.cost(name, point))) for name in COSTS]
        return [valid, *costs], [test, *costs]


def kind(arch: Mapping[str, Option]) -> tuple[int, ...]:
    """Return the numbers of convolutions of a cell, by size."""
    options = list(arch.values())
    return options.count("nor_conv_1x1"), options.count("nor_conv_3x3")


class Volume:
    """Measures fronts; see the top of this file."""

    def __init__(self, known: Known, points: Iterable[Architecture]) -> None:
        self.known = known
        costs = np.array([known.scores(point)[1][1:] for point in points])
        best = max(test for _, test in known.accuracies.values())
        self.reference = np.array([LEAST_ACCURACY, *costs.min(axis=0)])
        self.ideal = np.array([best, *costs.max(axis=0)])

    def of(self, points: Sequence[Architecture]) -> float:
        """Return the volume of points, as a share of the box."""
        valid, test = (np.array(scores) for scores in zip(*map(self.known.scores, points), strict=True))
        front: NDArray[np.float64] = test[is_non_dominated(valid)]
        return hypervolume((front - self.reference) / (self.ideal - self.reference), np.zeros(3))


def joint_search(known: Known, strategy: str, n_trials: int, seed: int, limit: float) -> list[Architecture]:
    """Search networks and accelerators at once; return the points that were tried."""
    goal = read_goal(["accuracy", *COSTS], f"{AREA} <= {limit!r}", METRICS)
    costs = {name: partial(known.cost, name) for name in (*COSTS, AREA)}

    def result(config: Config) -> Mapping[str, object]:
        point = JOINT.from_config(config)
        reported = {name: cost(point) for name, cost in costs.items()}
        return {"accuracy": known.scores(point)[0][0], **reported, "training_iteration": 1}

    searcher = STRATEGIES[strategy]().for_budget(n_trials).searcher(JOINT, goal, seed=seed, costs=costs)
    return [JOINT.from_config(config) for config in run_trials(searcher, result, n_trials)]


def main() -> None:
    """Run the bench and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", required=True, help="NAS-Bench-201, a CSV file")
    parser.add_argument("--strategies", nargs="+", default=["random", "evolution", "nsga2"], choices=sorted(STRATEGIES))
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    known = Known.of(arguments.table)
    limit = Accelerator().area_mm2
    rng = np.random.default_rng(0)
    volume = Volume(known, [JOINT.sample(rng) for _ in range(N_SCALING)])
    default = NETWORKS.canonical(from_arch_str(RESIDUAL))
    chips = [chip for chip in ACCELERATORS.enumerate() if ACCELERATORS.accelerator(chip).area_mm2 <= limit]
    halves = {
        "all networks": volume.of([JOINT.pair(network) for network in known.accuracies]),
        "all accelerators": volume.of([JOINT.pair(default, chip) for chip in chips]),
    }
    print(f"area <= {limit:.4f} mm2; {len(known.accuracies)} networks, {len(chips)} accelerators\n")
    print("| searched | points | hypervolume |\n|---|---|---|")
    for (name, value), n in zip(halves.items(), (len(known.accuracies), len(chips)), strict=True):
        print(f"| {name} | {n} | {value:.4f} |")
    print(
        "\n| joint search | trials | hypervolume, mean | least | most | better than both |\n|---|---|---|---|---|---|"
    )
    for strategy in arguments.strategies:
        found = [
            volume.of(joint_search(known, strategy, arguments.trials, seed, limit)) for seed in range(arguments.seeds)
        ]
        better = sum(value > max(halves.values()) for value in found)
        figures = f"{np.mean(found):.4f} | {min(found):.4f} | {max(found):.4f} | {better} of {len(found)}"
        print(f"| {strategy} | {arguments.trials} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
