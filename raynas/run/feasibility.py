"""check_feasible(): a search that no architecture can satisfy ends before it begins."""

from collections.abc import Sequence

import numpy as np

from raynas.core.constraint import Constraint, exact
from raynas.core.searcher import ArchitectureSearcher
from raynas.errors import DataError, InfeasibleError
from raynas.metrics.table import COUNTED

PROBES = 200
"""Number of random architectures that are tried before a search is refused as infeasible."""


def check_feasible(searcher: ArchitectureSearcher, seed: int) -> None:
    """Check that architectures can meet the constraints that need no training: those that bound costs, or random ones.

    Args:
        searcher: knows space, goal and costs.
        seed: of the random architectures.

    Raises:
        InfeasibleError: if none can, or none of ``PROBES`` does; names the constraint and the closest value seen.
    """
    limits = [c for c in searcher.goal.hard if not c.relative and c.metric in searcher.costs]
    if not limits:
        return
    if _some_bound_complies(searcher, limits):
        return
    rng = np.random.default_rng(seed)
    seen = []
    for _ in range(PROBES):
        arch = searcher.space.architecture(searcher.space.sample(rng))
        try:
            metrics = {c.metric: float(searcher.costs[c.metric](arch)) for c in limits}
        except DataError:  # of a table without a row for it
            continue
        if not any(c.violation(metrics) for c in limits):
            return
        seen.append(metrics)
    if not seen:
        return
    for constraint in limits:
        values = sorted((m[constraint.metric] for m in seen), reverse=not constraint.is_upper)
        if constraint.violation({constraint.metric: values[0]}):
            raise InfeasibleError(
                f"none of {PROBES} random architectures meets {constraint}; the closest has "
                f"{constraint.metric} = {exact(values[0])}: loosen it or choose a smaller space"
            )
    raise InfeasibleError(
        f"none of {PROBES} random architectures meets all of {', '.join(map(str, limits))} at once: loosen one of them"
    )


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
