"""Metrics that a search asks its trials for, and the check that they report them."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from raynas.core.evaluation import metrics_of
from raynas.core.goal import Constraints, Goal, Objectives
from raynas.core.metric import Metric
from raynas.core.outcome import Result
from raynas.core.searcher import ArchitectureSearcher
from raynas.errors import UnknownNameError, UnreportedMetricError
from raynas.metrics import METRICS, Metrics, read_goal
from raynas.run.dropped_metrics import DroppedMetrics
from raynas.strategies import Strategy
from raynas.trials.settings import ArchitectureSettings, TrialSettings


def wanted(searcher: ArchitectureSearcher) -> list[Metric | str]:
    """Return the metrics that trials must have: those of the goal that the searcher does not measure before a trial."""
    goal = searcher.goal
    limits = {c.metric for c in goal.hard if c.metric in searcher.costs}
    others = {*(o.metric for o in goal.objectives), *(c.metric for c in goal.constraints if c.soft), *goal.watched}
    return [goal.metrics.get(name, name) for name in goal.asked if name in others or name not in limits]


def read_asked(
    objectives: Objectives,
    constraints: Constraints,
    metrics: Metrics,
    strategy: Strategy,
    settings: TrialSettings,
    tolerance: float | None = None,
) -> Goal:
    """Return the goal of a search, with the metrics that its scheduler compares; see ``raynas.search``.

    Raises:
        ValueError: if it cannot be read, or trials do not report a metric that it, or early stopping, goes by.
    """
    goal = read_goal(objectives, constraints, [*metrics, *read_by_scheduler(strategy, settings, metrics)])
    settings.check_goal(goal)
    reported = settings.reports
    check_early_stopping(strategy, reported and {*reported, *measurable(settings, goal.metrics)})
    return replace(goal, tolerance=tolerance)


def read_by_scheduler(strategy: Strategy, settings: TrialSettings, metrics: Metrics) -> list[str]:
    """Return names of metrics that trials must measure because early stopping goes by them, besides those given."""
    read = strategy.early_stopping.metrics if strategy.early_stopping else ()
    given = {metric if isinstance(metric, str) else metric.name for metric in metrics}
    present = {*given, *settings.counts, *(settings.reports or ())}
    return [name for name in read if name in measurable(settings, METRICS) and name not in present]


def check_early_stopping(strategy: Strategy, known: Collection[str] | None) -> None:
    """Refuse early stopping that would stop no trial, since no result holds a metric that it compares.

    Args:
        strategy: the strategy.
        known: the metrics that results hold; None if only the trainable itself knows them.

    Raises:
        UnknownNameError: if there is such a metric.
    """
    for name in strategy.early_stopping.required if strategy.early_stopping else ():
        if known is not None and name not in known:
            raise UnknownNameError(f"metric of {type(strategy.early_stopping).__name__}:", name, known)


class ReportCheck:
    """Notices a metric that is asked for and that no trial reports, with the first trial that could have.

    It also warns of what is reported and is no metric.

    Only trainables that know alone what they report need it: functions, and classes of the user's.

    Args:
        searcher: already replayed.
        settings: the way of scoring.
    """

    def __init__(self, searcher: ArchitectureSearcher, settings: TrialSettings) -> None:
        self._goal, self._settings = searcher.goal, settings
        asked = [metric if isinstance(metric, str) else metric.name for metric in wanted(searcher)]
        self._unseen = set(asked if settings.reports is None else ())
        self._dropped = DroppedMetrics({*METRICS, *self._goal.asked})
        for record in searcher.archive:
            self._unseen -= record.get("metrics", {}).keys()

    def __call__(self, result: Result | None) -> UnreportedMetricError | None:
        """Return an error if a result of a trial lacks a metric that no trial has reported so far."""
        if result and self._settings.reports is None:
            self._dropped(result)
        if not result or not self._unseen:
            return None
        reported = metrics_of(result).keys() - {"trial_id"}
        self._unseen -= reported
        missing = self._missing(result)
        if not missing:
            return None
        known = str(result.get("reported", "")).split(", ") if "unreported" in result else sorted(reported)
        return UnreportedMetricError(missing, known, measurable(self._settings, self._goal.metrics))

    def _missing(self, result: Result) -> str:
        if isinstance(self._settings, ArchitectureSettings):  # its results hold NaN for what is not reported
            name = str(result.get("unreported", ""))
            return name if name in self._unseen else ""
        if result.get("failed"):
            return ""
        late = () if result.get("done") else {n for n, m in self._goal.metrics.items() if METRICS.get(n) != m}
        return next((name for name in self._goal.asked if name in self._unseen and name not in {*late, *result}), "")


def measurable(settings: TrialSettings | type[TrialSettings], metrics: Mapping[str, Metric]) -> list[str]:
    """Return the names of the metrics that trials measure where they are asked to."""
    return [name for name, metric in metrics.items() if metric.measure and metric.needs in settings.measures]
