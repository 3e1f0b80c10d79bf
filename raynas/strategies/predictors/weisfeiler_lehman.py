"""Subtree patterns of labelled graphs (Shervashidze et al., "Weisfeiler-Lehman Graph Kernels", JMLR 2011)."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from raynas.core.operation_graph import OperationGraph

Key = tuple[int, str, tuple[int, ...], tuple[int, ...]]
"""Identity of a pattern: its height, its label, the patterns before and after it."""

Entries = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Columns of a row, and their values."""


class Patterns:
    """All patterns that occurred so far, numbered.

    The pattern of height 0 of a node is its label. That of height h is its label and the patterns of height h - 1 of
    its predecessors and of its successors, each in any order. Isomorphic graphs have the same counts of patterns.
    """

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._numbers: dict[Key, int] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def counts(self, graph: OperationGraph, max_height: int) -> list[Counter[int]]:
        """Count the occurrences of each pattern, by its number, for each height up to ``max_height``."""
        sources, targets = graph.sources, graph.targets
        patterns = [self._number(0, label, (), ()) for label in graph.labels]
        counts = [Counter(patterns)]
        for height in range(1, max_height + 1):
            before = [tuple(sorted(patterns[i] for i in own)) for own in sources]
            after = [tuple(sorted(patterns[i] for i in own)) for own in targets]
            patterns = [self._number(height, *node) for node in zip(graph.labels, before, after, strict=True)]
            counts.append(Counter(patterns))
        return counts

    def _number(self, height: int, label: str, before: tuple[int, ...], after: tuple[int, ...]) -> int:
        key = (height, label, before, after)
        number = self._numbers.setdefault(key, len(self._keys))
        if number == len(self._keys):
            self._keys.append(key)
        return number

    def height(self, number: int) -> int:
        """Return the height of a pattern."""
        return self._keys[number][0]

    def text(self, number: int) -> str:
        """Format a pattern, e.g. ``(input, conv) → pool → (output)`` for height 1."""
        _, label, before, after = self._keys[number]
        parts = [f"({', '.join(map(self.text, before))})"] if before else []
        parts.append(label)
        parts += [f"({', '.join(map(self.text, after))})"] if after else []
        return " → ".join(parts)


class Embedding:
    """Graphs as rows of numbers, whose inner products are the Weisfeiler-Lehman kernel.

    Args:
        max_height: of the patterns that are counted.
        assignment: for the optimal assignment kernel (Kriege et al., "On Valid Optimal Assignment Kernels", NeurIPS
            2016), the sum over patterns of the smaller of two counts, where the subtree kernel has their product. A
            row then has a column per occurrence: 1 if a pattern has a first, a second, a third.
    """

    def __init__(self, max_height: int, assignment: bool) -> None:
        self.patterns = Patterns()
        self.max_height, self.assignment = max_height, assignment
        self._columns: dict[tuple[int, int], int] = {}

    @property
    def pattern_of(self) -> Sequence[int]:
        """Number of the pattern of each column."""
        return [number for number, _ in self._columns]

    @property
    def heights(self) -> Sequence[int]:
        """Height of the pattern of each column."""
        return [self.patterns.height(number) for number in self.pattern_of]

    def entries(self, graph: OperationGraph) -> Entries:
        """Return the columns of a graph's row that are not 0, and their values; new patterns get new columns."""
        columns: dict[int, float] = {}
        for counts in self.patterns.counts(graph, self.max_height):
            for number, count in counts.items():
                if self.assignment:
                    columns |= {self._column(number, i): 1.0 for i in range(count)}
                else:
                    columns[self._column(number, 0)] = float(count)
        return np.array(list(columns)), np.array(list(columns.values()))

    def _column(self, number: int, which: int) -> int:
        return self._columns.setdefault((number, which), len(self._columns))

    def rows(self, entries: Sequence[Entries]) -> csr_array:
        """Stack the rows of graphs, ``(n_graphs, n_columns)``."""
        columns, values = (np.concatenate(parts) for parts in zip(*entries, strict=True))
        ends = np.cumsum([0, *(len(own) for own, _ in entries)])
        return csr_array((values, columns, ends), shape=(len(entries), len(self._columns)))
