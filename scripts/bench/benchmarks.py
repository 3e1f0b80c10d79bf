"""The strategies that ``search_quality.py`` compares, and the tables that it compares them on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from raynas.core.space import SearchSpace
from raynas.search_spaces import MLP, NASBench201
from raynas.strategies import (
    BANANAS,
    MCTS,
    NASBOWL,
    NSGA2,
    PPO,
    Asha,
    BoostedTrees,
    GaussianProcess,
    GeneticAlgorithm,
    GraphNetwork,
    Hyperband,
    HyperOpt,
    LaNAS,
    LearningCurve,
    LocalSearch,
    Optuna,
    Portfolio,
    Progressive,
    QLearning,
    RandomSearch,
    RegularizedEvolution,
    Reinforce,
    Strategy,
)
from raynas.trials.table import Table
from raynas.trials.tabular import Tabular

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
    "BANANAS": BANANAS(),
    "boosted trees": BoostedTrees(),
    "NAS-BOWL": NASBOWL(),
    "graph network": GraphNetwork(),
    "portfolio": Portfolio(),
}
"""The strategies, by the name in tables and plots."""

SAMPLED: Mapping[str, Strategy] = {
    f"{name}, sampled": replace(strategy, max_enumerated=0)  # type: ignore[call-arg]
    for name, strategy in STRATEGIES.items()
    if hasattr(strategy, "max_enumerated")
}
"""As in spaces too large to rank all of: the candidates are drawn."""

SCHEDULERS: Mapping[str, Strategy] = {
    "in full": RandomSearch(),
    "ASHA": RandomSearch(early_stopping=Asha()),
    "Hyperband": RandomSearch(early_stopping=Hyperband()),
    "Hyperband, 2 brackets": RandomSearch(early_stopping=Hyperband(max_brackets=2)),
    "learning curve": RandomSearch(early_stopping=LearningCurve()),
}
"""The strategies of ``--early-stopping``; the others are compared with the first."""

FRONTS: Mapping[str, Strategy] = {
    "random": RandomSearch(),
    "NSGA-II": NSGA2(),
    "Optuna NSGA-II": Optuna(sampler="nsga2", n_initial=20),
    "Gaussian process": GaussianProcess(),
}
"""The strategies of ``--hypervolume``."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A table of trained networks, and the objective of a search on it.

    Args:
        space: what it is a table of.
        table: how it is read, accuracies in percent; with an empty name where the user has to give the file.
        second: the objective beside the accuracy for ``--hypervolume``.
    """

    space: SearchSpace
    table: Tabular
    second: str

    def with_columns(self, path: str | None, join: str | None, second: str | None, folder: Path) -> "Benchmark":
        """Return the same benchmark with another file and more columns.

        Args:
            path: the file; the one that is shipped if None.
            join: a file whose columns are joined to it.
            second: name of a column that is to be a metric.
            folder: where the joined table is written.
        """
        table = replace(self.table, table=path) if path else self.table
        if join:
            joined = folder / f"joined_{Path(join).name}"
            both = pd.read_csv(table.table).merge(pd.read_csv(join), on=table.arch)
            both.to_csv(joined, index=False)
            table = replace(table, table=str(joined))
        if second:
            table = replace(table, metrics={**table.metrics, second: second})
        return replace(self, table=table)

    def load(self, path: str | None) -> Table:
        """Read the file, or the one that is shipped."""
        return (replace(self.table, table=path) if path else self.table).load(self.space)


def _digits(name: str, epochs: int) -> Tabular:
    return Tabular(
        table=str(Path(__file__).parent / "tables" / f"{name}.csv.gz"),
        metrics={"accuracy": "accuracy_epoch{}", "params": "params", "macs": "macs"},
        fidelities=tuple(range(1, epochs + 1)),
        scale={"accuracy": 100.0},
    )


BENCHMARKS: Mapping[str, Benchmark] = {
    "nasbench201": Benchmark(
        space=NASBench201(),
        table=Tabular(
            table="nb201_cifar10.csv.gz",
            arch="arch_str",
            read_arch="raynas.search_spaces.nasbench201:from_arch_str",
            metrics={"accuracy": "val_accuracy_epoch200", "latency_ms": "latency_ms_raspi4"},
            fidelities=(200,),
        ),
        second="latency_ms",
    ),
    "digits_cells": Benchmark(
        space=NASBench201(
            input_shape=(1, 8, 8),
            channels=8,
            cells=1,
            stages=1,
            operations=("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3"),
        ),
        table=_digits("digits_cells", 12),
        second="macs",
    ),
    "digits_chains": Benchmark(
        space=MLP(max_layers=3, widths=(4, 16, 64), dropouts=(0.0, 0.2)),
        table=_digits("digits_chains", 54),
        second="macs",
    ),
}
"""The tables, by name; those of digits are shipped, see tables/README.md."""
