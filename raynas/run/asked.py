"""Metrics that a search asks its trials for."""

from raynas.core.metric import Metric
from raynas.core.searcher import ArchitectureSearcher


def wanted(searcher: ArchitectureSearcher) -> list[Metric | str]:
    """Return the metrics that trials must have: those of the goal that the searcher does not measure before a trial."""
    goal = searcher.goal
    limits = {c.metric for c in goal.hard if c.metric in searcher.costs}
    others = {*(o.metric for o in goal.objectives), *(c.metric for c in goal.constraints if c.soft), *goal.watched}
    return [goal.metrics.get(name, name) for name in goal.asked if name in others or name not in limits]
