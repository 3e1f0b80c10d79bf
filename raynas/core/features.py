"""DecisionFeatures: inputs of a predictor that knows nothing but the decisions of an architecture."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture, Option
from raynas.core.coded_decisions import CodedDecisions, Codes
from raynas.core.decision import Decision

Array = NDArray[np.float64]


class DecisionFeatures:
    """Groups of numbers, each ``(n,)``: the encoding, and what it hides.

    - ``decisions``: the encoding, in which any two options are equally far apart.
    - ``counts``: for decisions with the same options, such as the operations of the layers of a chain, the logarithm of
      1 + the number of active ones, and of those that hold each option. One layer tells about others.
    - ``sizes``: for decisions about numbers where their order matters, the rank of the number among the options in
      [0, 1], and its mean over those with the same options; 0 where none is active.

    A group without numbers is left out.

    Args:
        decisions: all of a space.
    """

    def __init__(self, decisions: Sequence[Decision]) -> None:
        self._coded = CodedDecisions(decisions)
        alike: dict[tuple[Option, ...], list[int]] = {}
        for j, decision in enumerate(decisions):
            if len(decision.options) > 1:
                alike.setdefault(tuple(decision.options), []).append(j)
        self._shared = {options: columns for options, columns in alike.items() if len(columns) > 1}
        self._sized = {options: columns for options, columns in alike.items() if len(options) > 2 and _ordered(options)}

    def __call__(self, arch: Mapping[str, Option]) -> dict[str, Array]:
        """Return the groups of one architecture."""
        return {name: group[0] for name, group in self.of(self._coded.encode([Architecture(arch)])).items()}

    def of(self, codes: Codes) -> dict[str, Array]:
        """Return the groups of architectures in codes, each ``(n_archs, n)``."""
        groups = {"decisions": encoded(self._coded, codes)}
        if self._shared:
            counts = [_counts(len(options), codes[:, columns]) for options, columns in self._shared.items()]
            groups["counts"] = np.log1p(np.hstack(counts))
        if self._sized:
            groups["sizes"] = np.hstack([_sizes(options, codes[:, each]) for options, each in self._sized.items()])
        return groups


def encoded(coded: CodedDecisions, codes: Codes) -> Array:
    """Encode architectures as ``encode`` does, ``(n_archs, n_features)``."""
    sizes = [decision.n_features for decision in coded.decisions]
    ends = np.cumsum(sizes)
    found = np.zeros((len(codes), ends[-1] if sizes else 0))
    one_hot = np.array([type(decision).encode is Decision.encode for decision in coded.decisions], dtype=bool)
    rows, columns = np.nonzero((codes != -1) & one_hot)
    found[rows, (ends - sizes)[columns] + codes[rows, columns]] = 1.0
    for j in np.flatnonzero(~one_hot):
        active = codes[:, j] != -1
        if active.any():
            values = [coded.decisions[j].encode(option) for option in coded.values(int(j), codes[active, j])]
            found[active, ends[j] - sizes[j] : ends[j]] = values
    return found


def encode(decisions: Sequence[Decision], arch: Mapping[str, Option]) -> Array:
    """Encode one-hot; an inactive decision is zeros, a continuous one is scaled to [0, 1]."""
    return np.concatenate([d.encode(arch[d.name]) if d.name in arch else np.zeros(d.n_features) for d in decisions])


def _ordered(options: Sequence[Option]) -> bool:
    return all(isinstance(option, int | float) and not isinstance(option, bool) for option in options)


def _counts(n_options: int, codes: Codes) -> NDArray[np.int64]:
    """Return the number of active decisions, and of those that hold each option, ``(n, 1 + n_options)``."""
    held = (codes[:, :, None] == np.arange(n_options)).sum(axis=1)
    return np.hstack((held.sum(axis=1, keepdims=True), held))


def _sizes(options: Sequence[Option], codes: Codes) -> Array:
    """Return the ranks of options, and with several decisions their mean, 0 where nothing is active."""
    ranks = np.argsort(np.argsort(np.array(options))) / (len(options) - 1)
    active = codes != -1
    sizes = np.where(active, ranks[codes], 0.0)
    if codes.shape[1] == 1:
        return sizes
    return np.hstack((sizes, sizes.sum(axis=1, keepdims=True) / np.maximum(active.sum(axis=1, keepdims=True), 1)))
