"""Metrics of an architecture: their table, and what measures them."""

from collections.abc import Callable, Iterable

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.metrics.cost import MetaModels, count_activations, count_macs, count_params, inference_memory, size_on_disk
from raynas.metrics.latency import measure_latency
from raynas.metrics.measurer import Measurer
from raynas.metrics.table import METRICS, Metrics, metrics_named, read_goal, with_metrics
from raynas.metrics.zero_cost import ENSEMBLE, ZERO_COST, Batch, rank_ensemble, zero_cost_scores

__all__ = [
    "ENSEMBLE",
    "METRICS",
    "ZERO_COST",
    "Batch",
    "Measurer",
    "MetaModels",
    "Metrics",
    "count_activations",
    "count_macs",
    "count_params",
    "inference_memory",
    "measure_latency",
    "metrics_named",
    "rank_ensemble",
    "read_goal",
    "size_on_disk",
    "untrained_metrics",
    "with_metrics",
    "zero_cost_scores",
]


def untrained_metrics(
    space: SearchSpace,
    names: Iterable[str] | None = None,
    *,
    batch: Callable[[], Batch] | None = None,
    seed: int = 0,
) -> dict[str, Callable[[Architecture], float]]:
    """Return the metrics that need no training, by name, e.g. ``untrained_metrics(space)["macs"](arch)``.

    Args:
        space: the space of the architectures.
        names: the metrics wanted; None for all that can be measured.
        batch: draws images and labels, for zero-cost proxies that need them.
        seed: of the weights that metrics are measured with, together with the architecture.

    Raises:
        RaynasError: if a metric is named that cannot be measured, for instance a zero-cost proxy without a batch.
        UnknownNameError: if a name is not in ``METRICS``.
    """
    measurer = Measurer(space, seed=seed, batch=batch)
    return measurer.costs(METRICS.values()) if names is None else measurer.functions(metrics_named(names))
