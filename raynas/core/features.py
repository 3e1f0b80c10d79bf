"""DecisionFeatures: inputs of a predictor that knows nothing but the decisions of an architecture."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Option
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
        self._decisions = decisions
        alike: dict[tuple[Option, ...], list[str]] = {}
        for decision in decisions:
            if len(decision.options) > 1:
                alike.setdefault(tuple(decision.options), []).append(decision.name)
        self._shared = {options: names for options, names in alike.items() if len(names) > 1}
        self._sized = {options: names for options, names in alike.items() if len(options) > 2 and _ordered(options)}

    def __call__(self, arch: Mapping[str, Option]) -> dict[str, Array]:
        """Return the groups of one architecture."""
        groups = {"decisions": encode(self._decisions, arch)}
        if self._shared:
            groups["counts"] = np.log1p([n for each in self._shared.items() for n in _counts(*each, arch)])
        if self._sized:
            groups["sizes"] = np.array([n for each in self._sized.items() for n in _sizes(*each, arch)])
        return groups


def encode(decisions: Sequence[Decision], arch: Mapping[str, Option]) -> Array:
    """Encode one-hot; an inactive decision is zeros, a continuous one is scaled to [0, 1]."""
    return np.concatenate([d.encode(arch[d.name]) if d.name in arch else np.zeros(d.n_features) for d in decisions])


def _ordered(options: Sequence[Option]) -> bool:
    return all(isinstance(option, int | float) and not isinstance(option, bool) for option in options)


def _counts(options: Sequence[Option], names: Sequence[str], arch: Mapping[str, Option]) -> list[int]:
    held = [arch[name] for name in names if name in arch]
    return [len(held), *map(held.count, options)]


def _sizes(options: Sequence[Option], names: Sequence[str], arch: Mapping[str, Option]) -> list[float]:
    rank = {option: i / (len(options) - 1) for i, option in enumerate(sorted(options))}
    sizes = [rank[arch[name]] if name in arch else math.nan for name in names]
    active = [size for size in sizes if not math.isnan(size)]
    mean = sum(active) / len(active) if active else 0.0
    return [0.0 if math.isnan(size) else size for size in sizes] + ([mean] if len(names) > 1 else [])
