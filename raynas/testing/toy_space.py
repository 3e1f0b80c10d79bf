"""ToySpace: a search space for tests of strategies, with a known best architecture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from torch import nn

from raynas.core.architecture import Architecture, Config, Option
from raynas.core.decision import Categorical, Decision, Integer
from raynas.core.operation_graph import OperationGraph
from raynas.core.outcome import Result
from raynas.core.space import SearchSpace


@dataclass(frozen=True)
class ToySpace(SearchSpace):
    """A space for tests of strategies: accuracy is a sum over the decisions, and the last decision is conditional.

    Features and graphs are remembered: tests make many searchers, and each asks for those of most members.

    Args:
        n_layers: number of decisions that always matter.
        n_options: number of options of each of them.
    """

    n_layers: int = 5
    n_options: int = 4
    input_shape = (1,)

    @property
    def decisions(self) -> Sequence[Decision]:
        best = self.n_options - 1
        layers = [Integer(f"layers.{i}", 0, best) for i in range(self.n_layers)]
        return [*layers, Categorical("head", ("linear", "cosine"), active_if={"layers.0": (best,)})]

    def build(self, arch: Architecture) -> nn.Module:
        return nn.Identity()

    def features(self, arch: Architecture) -> Mapping[str, NDArray[np.float64]]:
        return _features(self, arch)

    def operation_graph(self, arch: Mapping[str, Option]) -> OperationGraph:
        return _operation_graph(self, Architecture(arch))

    def accuracy(self, arch: Mapping[str, Option]) -> float:
        """Return a number in [0, 1]; 1 for the largest option everywhere and the head "cosine"."""
        return (self._sum(arch) + (arch.get("head") == "cosine")) / (self.n_layers * (self.n_options - 1) + 1)

    def params(self, arch: Mapping[str, Option]) -> float:
        """Return at least 1000, and the more the better the accuracy."""
        return 1000.0 * (1 + self._sum(arch))

    def result(self, config: Config) -> Result:
        """Return the report of a trial of ``config`` to Tune after one epoch."""
        arch = config["arch"]
        return {"accuracy": self.accuracy(arch), "params": self.params(arch), "training_iteration": 1}

    def _sum(self, arch: Mapping[str, Option]) -> int:
        return sum(int(option) for name, option in arch.items() if name != "head")


@lru_cache(maxsize=10_000)
def _features(space: ToySpace, arch: Architecture) -> Mapping[str, NDArray[np.float64]]:
    return SearchSpace.features(space, arch)


@lru_cache(maxsize=10_000)
def _operation_graph(space: ToySpace, arch: Architecture) -> OperationGraph:
    return SearchSpace.operation_graph(space, arch)
