"""Networks as predictors of latency see them: features, counts and the graph of all operations.

The graph is not pruned: an operation whose output nobody needs may take time all the same, which on NAS-Bench-201 tells
apart networks that compute the same function.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture
from raynas.core.operation_graph import OperationGraph
from raynas.core.space import SearchSpace
from raynas.metrics.cost import MetaModels

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Described:
    """Some networks.

    Args:
        groups: features by name, each ``(n, n_features)``: those of the space; "operations", the number of each
            operation; "costs", parameters and multiply-adds in millions.
        graphs: of all operations, n of them.
    """

    groups: Mapping[str, Array]
    graphs: Sequence[OperationGraph]

    def __len__(self) -> int:
        return len(self.graphs)

    def __getitem__(self, which: Sequence[int] | NDArray[np.int64]) -> "Described":
        index = np.asarray(which, dtype=np.int64)
        return Described({name: group[index] for name, group in self.groups.items()}, [self.graphs[i] for i in index])

    @cached_property
    def matrix(self) -> Array:
        """All features side by side, ``(n, n_features)``."""
        return np.hstack(list(self.groups.values()))


class Describer:
    """Describes the networks of a space.

    Args:
        space: the space, of architectures alone.
        labels: names of the operations that are counted, in order.
    """

    def __init__(self, space: SearchSpace, labels: Sequence[str]) -> None:
        self.space, self.labels = space, tuple(labels)
        self._models = MetaModels(space)

    @classmethod
    def seen(cls, space: SearchSpace, archs: Sequence[Architecture]) -> "Describer":
        """Return one that counts the operations of some architectures."""
        labels = {label for arch in archs for label in whole_graph(space, arch).labels}
        return cls(space, sorted(labels))

    def __call__(self, archs: Sequence[Architecture]) -> Described:
        """Describe architectures; operations that no label names are not counted.

        Raises:
            SpaceError: if one is not a member of the space.
        """
        archs = [self.space.canonical(arch) for arch in archs]
        graphs = [whole_graph(self.space, arch) for arch in archs]
        counts = [[graph.labels.count(label) for label in self.labels] for graph in graphs]
        costs = [[self._models.count(arch, name) / 1e6 for name in ("params", "macs")] for arch in archs]
        groups = {
            **self.space.features_of(self.space.coded.encode(archs)),
            "operations": np.array(counts, dtype=np.float64),
            "costs": np.array(costs),
        }
        return Described(groups, graphs)


def described_each(describer: Describer, lists: Sequence[Sequence[Architecture]]) -> list[Described]:
    """Describe several lists of architectures, each architecture once."""
    numbers = {arch: i for i, arch in enumerate(dict.fromkeys(arch for archs in lists for arch in archs))}
    everything = describer(list(numbers))
    return [everything[[numbers[arch] for arch in archs]] for archs in lists]


def whole_graph(space: SearchSpace, arch: Architecture) -> OperationGraph:
    """Return the graph of all operations of an architecture, those on no path to the output too."""
    cells = space.cell_graphs(arch)
    return OperationGraph.of_cells(cells, pruned=False) if cells else space.operation_graph(arch)
