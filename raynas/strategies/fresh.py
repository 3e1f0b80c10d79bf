"""What a strategy does whose idea was tried before: a random walk from it to something new."""

from collections.abc import Container

import numpy as np

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace

MAX_STEPS = 100
"""How long such a walk may be."""


def new_near(
    space: SearchSpace,
    arch: Architecture,
    *known: Container[Architecture],
    rng: np.random.Generator,
) -> Architecture:
    """The architecture itself if it is new, otherwise mutated until it is; known after all if the walk is too long."""
    for _ in range(MAX_STEPS):
        if not any(arch in some for some in known):
            break
        arch = space.mutate(arch, rng)
    return arch
