"""Features of a cell: the sequences of operations from its input to its output.

Paths are the encoding of White, Neiswanger and Savani, "BANANAS" (AAAI 2021, arXiv:1910.11858), section 4; here they
are counted, which tells a sum of two equal paths from one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

Edge = tuple[int, int]
"""From a lower node to a higher one."""

Path = tuple[str, ...]
"""The operations on the way from the input to the output."""


def operation_paths(operations: Mapping[Edge, str], *, none: str = "none") -> Counter[Path]:
    """Count each sequence of operations from the lowest node to the highest; ``none`` ends a path.

    Args:
        operations: of each edge; an edge that is missing carries nothing.
        none: the operation that gives zeros.
    """
    last = max(target for _, target in operations)
    paths: dict[int, list[Path]] = {0: [()]}
    for target in range(1, last + 1):
        paths[target] = [
            (*path, operations[source, target])
            for source in range(target)
            if operations.get((source, target), none) != none
            for path in paths[source]
        ]
    return Counter(paths[last])


def all_paths(options: Sequence[str], max_length: int) -> Iterator[Path]:
    """Every sequence of up to ``max_length`` operations, the short ones first."""
    for length in range(1, max_length + 1):
        yield from product(options, repeat=length)


def path_counts(operations: Mapping[Edge, str], columns: Mapping[Path, int]) -> NDArray[np.float64]:
    """Return the counts of ``operation_paths`` as a vector ``(n_columns,)``; paths without a column are dropped."""
    counts = np.zeros(len(columns))
    for path, count in operation_paths(operations).items():
        if path in columns:
            counts[columns[path]] = count
    return counts


def path_shape(
    operations: Mapping[Edge, str], options: Sequence[str], *, skip: str = "skip_connect"
) -> NDArray[np.float64]:
    """Return depth and width of a cell as logarithms of 1 + a count, ``(3 + 2 * n_options,)``.

    The counts: paths, operations of the longest path and of the shortest, then the most of each operation on one path
    and, over all paths, its sum. A skip is no operation. Few numbers that extrapolate, where a single path says
    little before it was seen.

    Args:
        operations: of each edge.
        options: the operations that are counted, skip and zeros left out.
        skip: the operation that does nothing.
    """
    found = operation_paths(operations)
    paths = [[operation for operation in path if operation != skip] for path in found.elements()] or [[]]
    lengths = [len(path) for path in paths]
    counts = np.array([[path.count(option) for option in options] for path in paths])
    shape = [found.total(), max(lengths), min(lengths), *counts.max(axis=0), *counts.sum(axis=0)]
    return np.asarray(np.log1p(shape))


def cell_function(operations: Mapping[Edge, str], *, none: str = "none", skip: str = "skip_connect") -> str:
    """One text for all cells that compute the same function, given equal weights.

    Zeros vanish, with all that is made of nothing but zeros; a skip is its source; the order of a sum does not matter.
    """
    last = max(target for _, target in operations)
    terms: dict[int, list[str]] = {0: ["x"]}
    for target in range(1, last + 1):
        terms[target] = []
        for source in range(target):
            operation = operations.get((source, target), none)
            if operation == skip:
                terms[target] += terms[source]
            elif operation != none and terms[source]:
                terms[target].append(f"{operation}({'+'.join(terms[source])})")
        terms[target].sort()
    return "+".join(terms[last])
