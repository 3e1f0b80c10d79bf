"""Candidates of a search and their features: what predictors learn from and predict."""

from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture
from raynas.core.coded_decisions import Codes
from raynas.core.space import SearchSpace
from raynas.regression.matern_kernel import Groups, typical_distance

Array = NDArray[np.float64]


class Identities:
    """Keys of architectures; candidates with equal keys are one. Each architecture is coded once.

    Args:
        space: the space of the architectures.
        merges_twins: give architectures that compute the same function the same key.
    """

    def __init__(self, space: SearchSpace, *, merges_twins: bool = False) -> None:
        self.space = space
        self._by_function = merges_twins and space.has_twins
        self._rows: dict[Architecture, bytes] = {}
        self._keys: dict[Architecture, Hashable] = {}

    def key(self, arch: Architecture) -> Hashable:
        """Return the key of an architecture."""
        if not self._by_function:
            return self._row(arch)
        if arch not in self._keys:
            self._keys[arch] = self.space.function_key(arch)
        return self._keys[arch]

    def keys(self, codes: Codes) -> list[Hashable]:
        """Return the keys of architectures in codes."""
        if self._by_function:
            return [self.space.function_key(self.space.coded.decode(row)) for row in codes]
        return [row.tobytes() for row in codes]

    def codes(self, archs: Sequence[Architecture]) -> Codes:
        """Return the codes of architectures."""
        return np.frombuffer(b"".join(map(self._row, archs)), np.int64).reshape(len(archs), -1)

    def _row(self, arch: Architecture) -> bytes:
        if arch not in self._rows:
            self._rows[arch] = self.space.coded.encode([arch]).tobytes()
        return self._rows[arch]


class CandidatePool:
    """Numbered architectures and their features; of architectures with equal keys only the first is a member.

    Args:
        space: the space of the architectures.
        identities: give the keys; default: only equal architectures have equal ones.
        scales: divisor of each group of features; default: the typical distance within the first architectures added.
    """

    def __init__(
        self, space: SearchSpace, identities: Identities | None = None, scales: Mapping[str, float] | None = None
    ) -> None:
        self.space, self.identities, self.scales = space, identities or Identities(space), scales
        self.codes: Codes = np.zeros((0, len(space.coded.decisions)), dtype=np.int64)
        self.keys: list[Hashable] = []
        self.groups: list[Array] = []
        self.rows: NDArray[np.int64] | slice = slice(None)
        """Indices of the members in the pool that this one is a subset of."""
        self.zero_cost = np.zeros((0, 0))
        """Standardised zero-cost ranks, ``(n, n_proxies)``; empty for a pool that is not screened."""
        self._archs: list[Architecture] = []
        self._index: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def archs(self) -> Sequence[Architecture]:
        """The members; for a few of them ``arch`` is cheaper."""
        self._archs += map(self.space.coded.decode, self.codes[len(self._archs) :])
        return self._archs

    def arch(self, index: int) -> Architecture:
        """Return a member."""
        return self.space.coded.decode(self.codes[index])

    def add(self, archs: Iterable[Architecture]) -> None:
        """Add the architectures whose key is new."""
        archs = list(archs)
        new = self._number([self.identities.key(arch) for arch in archs])
        if new:
            self._append(self.identities.codes([archs[i] for i in new]))

    def add_codes(self, codes: Codes) -> None:
        """Add the architectures in codes whose key is new."""
        new = self._number(self.identities.keys(codes))
        if new:
            self._append(codes[new])

    def _number(self, keys: Iterable[Hashable]) -> list[int]:
        """Give the keys that are new a number in the pool; return their positions among the keys."""
        new = []
        for i, key in enumerate(keys):
            if key not in self._index:
                self._index[key] = len(self.keys)
                self.keys.append(key)
                new.append(i)
        return new

    def _append(self, codes: Codes) -> None:
        groups = self.space.features_of(codes)
        if self.scales is None:
            self.scales = {name: typical_distance(group) for name, group in groups.items()}
        scaled = [group / self.scales[name] for name, group in groups.items()]
        self.groups = [np.vstack(pair) for pair in zip(self.groups, scaled, strict=True)] if self.groups else scaled
        self.codes = np.vstack((self.codes, codes))

    def index(self, arch: Architecture) -> int | None:
        """Return the index of the member with the architecture's key, None if there is none."""
        return self._index.get(self.identities.key(arch))

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
        part = CandidatePool(self.space, self.identities, self.scales)
        part.rows, part.zero_cost = np.asarray(indices), zero_cost
        part.codes, part.keys = self.codes[part.rows], [self.keys[i] for i in indices]
        part._index = {key: i for i, key in enumerate(part.keys)}
        part.groups = list(self.take(part.rows))
        if as_features:  # two random members have a root mean square distance of 1, as in every other group
            scale = (2 * zero_cost.shape[1]) ** 0.5
            part.scales = {**(self.scales or {}), "zero_cost": scale}
            part.groups.append(zero_cost / scale)
        return part
