"""The choice of networks to measure on a new device: measurements are dear, and not all say the same.

"variance" is the greedy D-optimal design (Fedorov, "Theory of Optimal Experiments", 1972) for the mixture of known
devices: next comes the network whose latency the measurements so far leave the most uncertain. These are extreme ones,
the best for a line. "diverse" covers the space, as Akhauri and Abdelfattah do for NASFLAT (MLSys 2024,
arXiv:2403.02446): half of the networks from clusters of their encodings (k-means), half along the order of their mean
cosine similarity to all; the encodings are the features of the space. HELP (Lee et al., NeurIPS 2021, arXiv:2106.08630)
draws them at random.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.metrics.latency_predictor.described import Describer, described_each
from raynas.metrics.latency_predictor.gaussian_process import GaussianProcessModel
from raynas.metrics.latency_predictor.measured import DeviceLatencies
from raynas.metrics.latency_predictor.mixture import standardised, with_constant
from raynas.regression.matern_kernel import typical_distance

Array = NDArray[np.float64]

Rule = Literal["variance", "diverse", "random"]

N_CANDIDATES = 500
"""Number of networks that the choice is made from at most."""

_NOISE, _WEIGHT_VARIANCE, _FLAT = 0.1, 1.0, 100.0
"""Variances of a measurement, of a device's weight and of the constant, where latencies have variance 1."""


def choose_networks(
    space: SearchSpace,
    archives: Sequence[DeviceLatencies],
    n: int = 10,
    *,
    rule: Rule = "variance",
    candidates: Sequence[Architecture] | None = None,
    seed: int = 0,
) -> list[Architecture]:
    """Choose networks to measure on a new device, in the order in which they say the most.

    Args:
        space: the space of the networks.
        archives: latencies of known devices.
        n: number of networks.
        rule: see the module.
        candidates: networks to choose from; by default those that every archive has, as HELP needs them.
        seed: of the candidates that are looked at, and of random choices.

    Raises:
        SettingError: if the rule is unknown, there is no archive, or there are fewer than n candidates.
    """
    if rule not in get_args(Rule):
        raise SettingError(f"rule must be one of {', '.join(get_args(Rule))}, got {rule!r}")
    if not archives:
        raise SettingError("networks are chosen by archives of known devices, got none")
    rng = np.random.default_rng(seed)
    pool = list(dict.fromkeys(candidates if candidates is not None else common(archives)))
    pool = [pool[i] for i in rng.permutation(len(pool))[:N_CANDIDATES]]
    if not 0 < n <= len(pool):
        raise SettingError(f"n must be from 1 to the number of candidates, {len(pool)}, got {n}")
    space = space.architecture_space
    if rule == "random":
        chosen = list(range(n))
    elif rule == "diverse":
        chosen = _spread(_unit_features(space, pool), n, rng)
    else:
        chosen = _uncertain(_known_latencies(space, archives, pool, rng), n)
    return [pool[i] for i in chosen]


def common(archives: Sequence[DeviceLatencies]) -> list[Architecture]:
    """Return the networks that every archive has, in the order of the first."""
    others = [set(archive.archs) for archive in archives[1:]]
    return [arch for arch in archives[0].archs if all(arch in known for known in others)]


def _unit_features(space: SearchSpace, pool: Sequence[Architecture]) -> Array:
    groups = Describer.seen(space, pool)(pool).groups.values()
    return np.hstack([group / typical_distance(group) for group in groups])


def _known_latencies(
    space: SearchSpace, archives: Sequence[DeviceLatencies], pool: Sequence[Architecture], rng: np.random.Generator
) -> Array:
    """Return what each archive says of the pool, standardised, ``(n_pool, n_devices)``."""
    lists = [pool, *(archive.archs for archive in archives)]
    describer = Describer.seen(space, list({arch for archs in lists for arch in archs}))
    networks, *known = described_each(describer, lists)
    devices = [GaussianProcessModel.fit(own, archive.values, rng) for own, archive in zip(known, archives, strict=True)]
    return standardised(devices, networks)


def _spread(features: Array, n: int, rng: np.random.Generator) -> list[int]:
    """Draw a network of each cluster, and one of each share of the order by similarity."""
    similarity = _unit_rows(features) @ _unit_rows(features).mean(axis=0)
    groups = _clusters(features, n // 2, rng) + np.array_split(np.argsort(similarity, kind="stable"), n - n // 2)
    chosen: list[int] = []
    for group in groups:
        left = np.setdiff1d(group, chosen)
        chosen.append(int(rng.choice(left if len(left) else np.setdiff1d(np.arange(len(features)), chosen))))
    return chosen


def _unit_rows(rows: Array) -> Array:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float64).tiny))


def _clusters(features: Array, n: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return the indices in each of n clusters by k-means (Lloyd, 1982)."""
    from sklearn.cluster import KMeans  # takes .4 s, which few need

    if n == 0:
        return []
    labels = KMeans(n, n_init=1, random_state=int(rng.integers(2**31))).fit(features).labels_
    return [np.flatnonzero(labels == i) for i in range(n)]


def _uncertain(known: Array, n: int) -> list[int]:
    """Take the network of the largest variance, given those chosen."""
    x = with_constant(known)
    covariance = np.diag([_FLAT, *np.full(known.shape[1], _WEIGHT_VARIANCE)])
    chosen: list[int] = []
    while len(chosen) < n:
        variances = ((x @ covariance) * x).sum(axis=1)
        variances[chosen] = -1.0
        chosen.append(int(np.argmax(variances)))
        row = covariance @ x[chosen[-1]]
        covariance = covariance - np.outer(row, row) / (_NOISE + x[chosen[-1]] @ row)
    return chosen
