"""Metrics, durations and evaluations in words for people."""

from collections.abc import Mapping, Sequence

from raynas.analysis import COSTS, known_metrics, own_metrics
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.measurement import Measured
from raynas.core.metric import Metric
from raynas.metrics import METRICS

DOUBT = " (?)"
"""Mark behind a figure that is known to be unreliable."""


def amount(metric: str, value: float, metrics: Mapping[str, Metric] = METRICS) -> str:
    """Return a metric's value for people: "1.23 M", "3.41 ms", "0.9312"; with ``DOUBT`` if it is unreliable."""
    return _amount(metric, value, metrics) + (DOUBT if isinstance(value, Measured) and value.provenance.doubt else "")


def _amount(metric: str, value: float, metrics: Mapping[str, Metric]) -> str:
    if metric in metrics and (unit := metrics[metric].unit):
        return f"{value:.0f} {unit}" if abs(value) >= 100 else f"{value:.3g} {unit}"
    for factor, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * factor:  # what is rounded up to it
            return f"{value / factor:.3g} {letter}"
    return f"{value:.4g}"


def title_of(metric: str, metrics: Mapping[str, Metric]) -> str:
    """Return the title of a metric in tables."""
    return (metric in metrics and metrics[metric].title) or metric


def duration(seconds: float) -> str:
    """Return seconds for people: "12 s", "3 m 05 s", "2 h 03 m", "1 d 04 h"."""
    whole = round(seconds)
    for unit, name, part, part_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // part:02d} {part_name}"
    return f"{whole} s"


def epochs(n: float) -> str:
    """Return a number of epochs for people: "1 epoch", "30 epochs"."""
    return f"{n:.0f} epoch{'' if n == 1 else 's'}"


def describe(evaluation: Evaluation, goal: Goal, metrics: Sequence[str], costs: Sequence[str] = COSTS) -> str:
    """Return an evaluation in a line: its trial, the given metrics, the user's own, its costs."""
    return f"{evaluation.trial}: {figures(evaluation.metrics, goal, metrics, costs)}"


def figures(values: Mapping[str, float], goal: Goal, metrics: Sequence[str], costs: Sequence[str] = COSTS) -> str:
    """Return values in a line, as far as they are there: the given metrics, the user's own, the costs."""
    known = known_metrics(goal)
    shown = [m for m in dict.fromkeys([*metrics, *own_metrics(goal), *costs]) if m in values]
    return ", ".join(f"{title_of(m, known)} {amount(m, values[m], known)}" for m in shown)
