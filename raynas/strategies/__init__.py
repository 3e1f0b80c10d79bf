"""Search strategies: one file per published algorithm, and the only table of their names."""

from raynas.strategies.base import EarlyStopping, Strategy
from raynas.strategies.early_stopping import Asha, MedianStopping
from raynas.strategies.grid_search import GridSearch
from raynas.strategies.hyperopt import HyperOpt
from raynas.strategies.local_search import LocalSearch
from raynas.strategies.optuna import Optuna
from raynas.strategies.random_search import RandomSearch
from raynas.strategies.regularized_evolution import RegularizedEvolution

STRATEGIES: dict[str, type[Strategy]] = {
    "evolution": RegularizedEvolution,
    "grid": GridSearch,
    "hyperopt": HyperOpt,
    "local": LocalSearch,
    "optuna": Optuna,
    "random": RandomSearch,
}
"""What ``--strategy`` takes."""

EARLY_STOPPING: dict[str, type[EarlyStopping]] = {"asha": Asha, "median": MedianStopping}
"""What ``--early-stopping`` takes."""

__all__ = [
    "EARLY_STOPPING",
    "STRATEGIES",
    "Asha",
    "EarlyStopping",
    "GridSearch",
    "HyperOpt",
    "LocalSearch",
    "MedianStopping",
    "Optuna",
    "RandomSearch",
    "RegularizedEvolution",
    "Strategy",
]
