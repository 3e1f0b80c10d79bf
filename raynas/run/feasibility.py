"""check_feasible(): a search that no architecture can satisfy ends before it begins."""

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np

from raynas.core.architecture import Architecture
from raynas.core.constraint import Constraint, exact
from raynas.core.cost_limits import CostLimits
from raynas.core.feasible_region import FeasibleRegion
from raynas.core.searcher import ArchitectureSearcher
from raynas.errors import DataError, InfeasibleError
from raynas.metrics.table import COUNTED

PROBES = 200
"""Number of random architectures that are tried first."""

MAX_MADE = 200
"""Maximum number of architectures that are then made to meet the constraints."""

Values = dict[Architecture, Mapping[str, float]]


def check_feasible(searcher: ArchitectureSearcher, seed: int) -> None:
    """Check that architectures can meet the constraints that need no training.

    Tried are those that bound costs, random ones, and at last some that are made of the best of these to meet the
    constraints, as a search does where few architectures meet them.

    Args:
        searcher: knows space, goal and costs.
        seed: of the random architectures.

    Raises:
        InfeasibleError: if none can, or none of those tried does; names the constraint and the closest value seen.
    """
    limits = [c for c in searcher.goal.hard if not c.relative and c.metric in searcher.costs]
    if not limits:
        return
    if _some_bound_complies(searcher, limits):
        return
    seen: Values = {}
    if _some_is_found(searcher, limits, seed, seen) or not seen:
        return
    tried = f"none of {len(seen)} architectures, random ones and such as were made to comply, meets"
    for constraint in limits:
        values = sorted((m[constraint.metric] for m in seen.values()), reverse=not constraint.is_upper)
        if constraint.violation({constraint.metric: values[0]}):
            raise InfeasibleError(
                f"{tried} {constraint}; the closest has {constraint.metric} = {exact(values[0])}: "
                "loosen it or choose a smaller space"
            )
    raise InfeasibleError(f"{tried} all of {', '.join(map(str, limits))} at once: loosen one of them")


def _some_is_found(searcher: ArchitectureSearcher, limits: Sequence[Constraint], seed: int, seen: Values) -> bool:
    """Look for an architecture that meets the limits, and add the costs of those tried to ``seen``."""
    space, rng = searcher.space.architecture_space, np.random.default_rng(seed)
    known = CostLimits(space, searcher.costs)
    region = FeasibleRegion(space, known, searcher.goal, rng)

    def share(costs: Mapping[str, float]) -> float:
        return sum(c.violation(costs) for c in limits)

    def complies(arch: Architecture) -> bool:
        try:
            costs = {c.metric: known.measure(c.metric, arch) for c in limits}
        except DataError:  # of a table without a row for it
            return False
        known.refusal(arch, searcher.goal)  # so that the region learns from it
        seen[arch] = costs
        return share(costs) == 0

    probes = [space.sample(rng) for _ in range(PROBES)]
    if any(map(complies, probes)):
        return True
    if not seen:
        return False
    best = min(seen, key=lambda arch: share(seen[arch]))
    made = region.near(best, lambda arch: arch not in known.refused)
    return any(map(complies, islice(made, MAX_MADE)))


def _some_bound_complies(searcher: ArchitectureSearcher, limits: Sequence[Constraint]) -> bool:
    """Return True if the smallest or the largest member of the space, where they are known, meets all limits.

    Raises:
        InfeasibleError: if a limit excludes the member that is best in it, and so every other.
    """
    bounds = searcher.space.architecture_space.bounds
    if bounds is None:
        return False
    found = [{c.metric: float(searcher.costs[c.metric](arch)) for c in limits} for arch in bounds]
    for constraint in limits:
        best = found[0 if constraint.is_upper else 1]
        if constraint.metric in COUNTED and constraint.violation(best):
            raise InfeasibleError(
                f"no architecture meets {constraint}: the {'smallest' if constraint.is_upper else 'largest'} has "
                f"{constraint.metric} = {exact(best[constraint.metric])}; loosen it, or let more of the model vary"
            )
    return any(not any(c.violation(metrics) for c in limits) for metrics in found)
