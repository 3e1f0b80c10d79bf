"""Parallel coordinates: trials as lines across an axis for each decision and each metric."""

from collections.abc import Sequence
from dataclasses import dataclass

from raynas.analysis.columns import columns_of, row_of
from raynas.analysis.shown_metrics import compared
from raynas.core.architecture import Option
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.space import SearchSpace


@dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis of the plot.

    Args:
        name: of the decision, hyperparameter or metric.
        options: of a decision, in order; a value on the axis is an index into it. None for numbers.
        log: whether numbers are best shown on a logarithmic scale.
        is_metric: whether it is a metric.
    """

    name: str
    options: tuple[Option, ...] = ()
    log: bool = False
    is_metric: bool = False


@dataclass(frozen=True, kw_only=True)
class ParallelCoordinates:
    """Trials as lines across axes.

    Args:
        axes: decisions and hyperparameters, then costs, then the first objective.
        trials: names.
        lines: ``(n_trials, n_axes)``; None where a decision is not active, or a metric is not known.
        scores: the first objective of each trial.
    """

    axes: tuple[Axis, ...]
    trials: tuple[str, ...]
    lines: tuple[tuple[float | None, ...], ...]
    scores: tuple[float, ...]


def parallel_coordinates(
    evaluations: Sequence[Evaluation], goal: Goal, space: SearchSpace | None = None
) -> ParallelCoordinates:
    """Return the trials that finished as lines.

    Args:
        evaluations: of the search.
        goal: names the metrics.
        space: see ``columns_of``.
    """
    metric = goal.first.metric
    shown = [e for e in evaluations if e.status == "finished" and metric in e.metrics]
    columns = columns_of(shown, space)
    metrics = [o.metric for o in compared(goal) if any(o.metric in e.metrics for e in shown)] + [metric]
    axes = [Axis(name=c.name, options=c.options, log=c.log) for c in columns]
    axes += [Axis(name=name, is_metric=True) for name in metrics]
    return ParallelCoordinates(
        axes=tuple(axes),
        trials=tuple(e.trial for e in shown),
        lines=tuple(_line(e, axes) for e in shown),
        scores=tuple(float(e.metrics[metric]) for e in shown),
    )


def _line(evaluation: Evaluation, axes: Sequence[Axis]) -> tuple[float | None, ...]:
    row = row_of(evaluation)
    return tuple(evaluation.metrics.get(a.name) if a.is_metric else _at(a, row.get(a.name)) for a in axes)


def _at(axis: Axis, value: object) -> float | None:
    if axis.options:
        return axis.options.index(value) if value in axis.options else None
    return float(value) if isinstance(value, int | float) else None
