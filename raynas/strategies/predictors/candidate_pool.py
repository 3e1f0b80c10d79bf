"""Candidates of a search and their features: what predictors learn from and predict."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace

Array = NDArray[np.float64]

Groups = Sequence[Array]
"""Features of n architectures, each group ``(n, n_features)``."""


class CandidatePool:
    """Numbered architectures and their features; of architectures with equal keys only the first is a member.

    Args:
        space: the space of the architectures.
        key: maps an architecture to its identity, such as the function that it computes.
        scales: divisor of each group of features; default: the typical distance within the first architectures added.
    """

    def __init__(
        self, space: SearchSpace, key: Callable[[Architecture], Hashable], scales: Mapping[str, float] | None = None
    ) -> None:
        self.space, self.key, self.scales = space, key, scales
        self.archs: list[Architecture] = []
        self.keys: list[Hashable] = []
        self.groups: list[Array] = []
        self.rows: NDArray[np.int64] | slice = slice(None)
        """Indices of the members in the pool that this one is a subset of."""
        self.zero_cost = np.zeros((0, 0))
        """Standardised zero-cost ranks, ``(n, n_proxies)``; empty for a pool that is not screened."""
        self._index: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self.archs)

    def add(self, archs: Iterable[Architecture]) -> None:
        """Add the architectures whose key is new."""
        new: list[Architecture] = []
        for arch in archs:
            key = self.key(arch)
            if key not in self._index:
                self._index[key] = len(self.keys)
                self.keys.append(key)
                new.append(arch)
        if not new:
            return
        found = [self.space.features(arch) for arch in new]
        groups = {name: np.array([features[name] for features in found]) for name in found[0]}
        if self.scales is None:
            self.scales = {name: _typical_distance(group) for name, group in groups.items()}
        scaled = [group / self.scales[name] for name, group in groups.items()]
        self.groups = [np.vstack(pair) for pair in zip(self.groups, scaled, strict=True)] if self.groups else scaled
        self.archs += new

    def index(self, arch: Architecture) -> int | None:
        """Return the index of the member with the architecture's key, None if there is none."""
        return self._index.get(self.key(arch))

    def indices(self, archs: Iterable[Architecture]) -> list[int]:
        """Return the indices of those architectures whose keys are in the pool."""
        return [index for index in map(self.index, archs) if index is not None]

    def take(self, indices: NDArray[np.int64]) -> Groups:
        """Return the features of some members."""
        return [group[indices] for group in self.groups]

    def screened(self, indices: Sequence[int], zero_cost: Array, *, as_features: bool) -> "CandidatePool":
        """Return a pool of some members with zero-cost ranks.

        Args:
            indices: of the members to keep.
            zero_cost: standardised ranks, ``(n_indices, n_proxies)``.
            as_features: make the ranks one more group of features, "zero_cost".
        """
        part = CandidatePool(self.space, self.key, self.scales)
        part.rows, part.zero_cost = np.asarray(indices), zero_cost
        part.archs, part.keys = [self.archs[i] for i in indices], [self.keys[i] for i in indices]
        part._index = {key: i for i, key in enumerate(part.keys)}
        part.groups = list(self.take(part.rows))
        if as_features:  # two random members have a root mean square distance of 1, as in every other group
            scale = (2 * zero_cost.shape[1]) ** 0.5
            part.scales = {**(self.scales or {}), "zero_cost": scale}
            part.groups.append(zero_cost / scale)
        return part


def _typical_distance(group: Array) -> float:
    """Return the root mean square distance between two members, 1 if all are equal."""
    return float(np.sqrt(2 * group.var(axis=0).sum())) or 1.0
