"""Correction of summed latencies by a few whole networks: what lies between operations, and what a sum counts twice."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

N_TERMS = 7
"""Number of terms: 1, the sum of the latencies, the number of operations, the number and size of those that join them,
the multiply-adds, and the weights; sizes in millions. Operations that move data gain more by being part of a network,
where what they read is in a cache, and fused, than those that compute: the multiply-adds tell them apart. Weights lose:
run alone again and again, an operation has them in a cache, which those of a whole network may not fit into."""

PLAIN = (0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""Weights of the terms that leave the sum as it is."""

_NOISE = 0.03
"""Standard deviation of a network's latency around the corrected sum, relative."""

_DEVIATION = 0.5
"""Standard deviation of each weight around ``PLAIN``, as a share of that with which its term alone is the latency."""


def fit_correction(terms: Sequence[Sequence[float]], ms: Sequence[float]) -> tuple[float, ...]:
    """Return the weights that whole networks show: a Bayesian linear regression around the plain sum.

    Few networks thus change it by no more than they can tell.

    Args:
        terms: of each network, ``(n, N_TERMS)``.
        ms: the measured latency of each.
    """
    if not ms:
        return PLAIN
    measured = np.asarray(ms, dtype=np.float64)
    found = np.asarray(terms, dtype=np.float64)
    means = found.mean(axis=0)
    deviations = np.where(means > 0, _DEVIATION * measured.mean() / np.where(means > 0, means, 1), 0.0)
    rows = found / measured[:, None] / _NOISE
    design = np.vstack([rows * deviations, np.eye(N_TERMS)])
    aim = np.concatenate([np.full(len(ms), 1 / _NOISE) - rows @ PLAIN, np.zeros(N_TERMS)])
    weights = np.array(PLAIN) + np.linalg.lstsq(design, aim, rcond=None)[0] * deviations
    return tuple(weights.tolist())
