"""The table of metrics: the only list of their names, directions, units and measurements."""

from collections.abc import Iterable, Mapping, Sequence

from raynas.core.goal import Constraints, Goal, Objectives
from raynas.core.metric import Metric
from raynas.errors import SettingError, UnknownNameError
from raynas.metrics.cost import activations, inference_memory_mb, macs, params, size_mb
from raynas.metrics.energy import energy
from raynas.metrics.latency.metric import latency
from raynas.metrics.zero_cost import ZERO_COST
from raynas.metrics.zero_cost.by_name import ProxyMeasure

Metrics = Sequence[Metric | str]
"""Metrics, or their names in ``METRICS``."""

COUNTED = ("params", "macs")
"""The metrics that are counted of every network, whatever is asked for."""

TAUGHT = ("divergence", "agreement")
"""The metrics that compare a network with its teacher."""

INHERITED = ("loss_increase", "taylor_share", "weight_share")
"""The metrics of members of a converted space before any training, besides those that training gives too."""

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(name="accuracy", mode="max"),
        Metric(name="loss", mode="min"),
        Metric(name="divergence", mode="min", title="divergence from the teacher"),
        Metric(name="agreement", mode="max", title="agreement with the teacher"),
        Metric(name="loss_increase", mode="min", title="loss above the teacher's before recovery"),
        Metric(name="taylor_share", mode="max", title="share of first-order importance kept"),
        Metric(name="weight_share", mode="max", title="share of weights kept"),
        Metric(name="params", mode="min", measure=params),
        Metric(name="macs", mode="min", measure=macs),
        Metric(name="activations", mode="min", measure=activations),
        Metric(
            name="inference_memory_mb", mode="min", unit="MB", title="inference memory", measure=inference_memory_mb
        ),
        Metric(name="size_mb", mode="min", unit="MB", title="size", measure=size_mb),
        latency(),
        energy(),
        Metric(name="train_seconds", mode="min", unit="s", title="training"),
        Metric(name="peak_memory_mb", mode="min", unit="MB", title="training memory"),
        *(
            Metric(
                name=proxy.name,
                mode="max",
                measure=ProxyMeasure(proxy.name),
                needs="data" if proxy.needs_data else "weights",
            )
            for proxy in ZERO_COST.values()
            if proxy.name not in COUNTED
        ),
        Metric(name="ensemble", mode="max", needs="data"),
    )
}
"""The metrics that raynas knows, by name. Those without a measurement are reported by trials."""


def metrics_named(metrics: Iterable[Metric | str]) -> list[Metric]:
    """Return metrics by name; those given as they are stay so.

    Raises:
        UnknownNameError: if a name is not in the table.
    """
    return [metric if isinstance(metric, Metric) else _named(metric) for metric in metrics]


def _named(name: str) -> Metric:
    if name not in METRICS:
        raise UnknownNameError("metric", name, METRICS)
    return METRICS[name]


def with_metrics(metrics: Iterable[Metric | str]) -> Mapping[str, Metric]:
    """Return the table with further metrics; one of a known name replaces it.

    Args:
        metrics: metrics of the user's, or names in the table, which change nothing.

    Raises:
        UnknownNameError: if a name is not in the table.
        SettingError: if two metrics have the same name.
    """
    table = dict(METRICS)
    own: set[str] = set()
    for metric in metrics_named(metrics):
        if metric.name in own:
            raise SettingError(f"metrics must have different names, got {metric.name!r} twice")
        own.add(metric.name)
        table[metric.name] = metric
    return table


def read_goal(
    objectives: Objectives = "accuracy",
    constraints: Constraints = (),
    metrics: Iterable[Metric | str] = (),
) -> Goal:
    """Read a goal with the table of metrics and further ones, which are measured and shown in any case.

    Raises:
        UnknownNameError: if a metric is a name that is not in the table.
        SettingError: if an objective or a constraint cannot be read, or two metrics have the same name.
    """
    metrics = list(metrics)
    watched = [metric if isinstance(metric, str) else metric.name for metric in metrics]
    return Goal.parse(objectives, constraints, with_metrics(metrics), watched)
