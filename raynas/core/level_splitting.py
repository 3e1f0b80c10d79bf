"""Level splitting: near-uniform architectures of a part of a space that is too small to be hit by chance.

Au and Beck, "Estimation of Small Failure Probabilities in High Dimensions by Subset Simulation" (Probabilistic
Engineering Mechanics 16, 2001): many points, drawn from the whole space; again and again the half that breaks the limit
least is kept and multiplied, and each point takes a random walk that does not break it more. So every component of the
part has about as many points as it deserves, where a descent from one point would favour those with wide basins.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from raynas.core.coded_decisions import CodedDecisions, Codes

Violations = Callable[[Codes], NDArray[np.float64]]
"""By how much each architecture breaks the limits, ``(n,)``; 0 where it does not."""

N_STEPS = 12
"""Number of mutations that each point tries after it was multiplied."""


MAX_LEVELS = 40
"""Maximum number of times that points are halved: 2^-40 is less than 1 in 10^12."""


def drawn_below(coded: CodedDecisions, violations: Violations, n: int, rng: np.random.Generator) -> Codes:
    """Draw architectures that break no limit, distributed as if each active decision was drawn uniformly until so.

    Args:
        coded: the decisions of the space.
        violations: of architectures in codes.
        n: number of architectures; they may repeat.
        rng: source of all randomness.

    Returns:
        Codes, ``(n, n_decisions)``. If no architecture without violation was found, those with the smallest.
    """
    codes = coded.sample(n, rng)
    broken = violations(codes)
    level = np.inf
    for _ in range(MAX_LEVELS):
        lower = broken[broken < level]
        if broken.max() == 0 or not len(lower):
            break
        level = float(min(np.median(broken), lower.max()))
        kept = np.flatnonzero(broken <= level)
        codes = codes[rng.choice(kept, n)]
        codes = walked(coded, violations, codes, level, N_STEPS, rng)
        broken = violations(codes)
    return codes


def walked(
    coded: CodedDecisions,
    violations: Violations,
    codes: Codes,
    level: float | NDArray[np.float64],
    n_steps: int,
    rng: np.random.Generator,
) -> Codes:
    """Let each architecture try mutations; keep those whose violation is at most ``level``.

    The walk is Metropolis': in the long run it visits those below the level as often as uniform draws of active
    decisions would. A mutation draws one of the decisions that are active, whose number may differ before and after.
    """
    for _ in range(n_steps):
        moved = coded.mutate(codes, rng)
        is_kept = rng.random(len(codes)) * coded.n_movable(moved) <= coded.n_movable(codes)
        codes = np.where((is_kept & (violations(moved) <= level))[:, None], moved, codes)
    return codes
