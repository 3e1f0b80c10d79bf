"""Novelty: proposals that were evaluated before are mutated until they are new."""

from collections.abc import Container

import numpy as np

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace

MAX_STEPS = 100
"""Maximum number of mutations of one proposal."""


def mutate_until_new(
    space: SearchSpace,
    arch: Architecture,
    *known: Container[Architecture],
    rng: np.random.Generator,
) -> Architecture:
    """Return the architecture if it is new, otherwise the first new one on a random walk from it.

    Args:
        space: gives the mutations.
        arch: the proposal.
        known: architectures that are not new.
        rng: source of all randomness.

    Returns:
        A known architecture if the walk finds nothing new in ``MAX_STEPS`` steps.
    """
    for _ in range(MAX_STEPS):
        if not any(arch in some for some in known):
            break
        arch = space.mutate(arch, rng)
    return arch


class RepeatLimit:
    """Counts the proposals in a row that were evaluated before.

    Args:
        max_repeats: the number that is tolerated.
    """

    def __init__(self, max_repeats: int) -> None:
        self.max_repeats = max_repeats
        self._n_repeats = 0

    def is_exceeded(self, is_repeat: bool) -> bool:
        """Count a proposal; return True, and count from 0 again, if it is one repeat too many."""
        self._n_repeats = self._n_repeats + 1 if is_repeat else 0
        if self._n_repeats <= self.max_repeats:
            return False
        self._n_repeats = 0
        return True
