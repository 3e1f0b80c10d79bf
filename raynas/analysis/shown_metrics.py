"""The metrics that views show of a search, and those that its first objective is compared with."""

from collections.abc import Mapping

from raynas.core.goal import Goal, Objective
from raynas.core.metric import Metric, Mode
from raynas.metrics import METRICS, ZERO_COST

COSTS = ("params", "macs", "latency_ms")
"""Metrics that are shown of every architecture, if they are known."""


def known_metrics(goal: Goal) -> Mapping[str, Metric]:
    """Return the metrics whose unit and title are known: the user's before raynas's."""
    return {**METRICS, **goal.metrics}


def own_metrics(goal: Goal) -> list[str]:
    """Return the names of the metrics shown where they are asked for: the user's, and costs beyond ``COSTS``."""
    return [name for name in goal.asked if name not in METRICS or _is_further_cost(name)]


def _is_further_cost(name: str) -> bool:
    return METRICS[name].measure is not None and name not in (*COSTS, *ZERO_COST)


def compared(goal: Goal) -> list[Objective]:
    """Return the metrics to show the first objective against.

    These are the other objectives, the user's own metrics, those that are limited, latency and params.
    """
    modes: dict[str, Mode] = {c.metric: "min" if c.op.startswith("<") else "max" for c in goal.constraints}
    modes |= {name: metric.mode for name, metric in known_metrics(goal).items()}
    modes |= {o.metric: o.mode for o in goal.objectives}
    others = [o.metric for o in goal.objectives[1:]]
    names = dict.fromkeys([*others, *own_metrics(goal), *(c.metric for c in goal.constraints), "latency_ms", "params"])
    return [Objective(name, modes[name]) for name in names if name in modes and name != goal.first.metric]
