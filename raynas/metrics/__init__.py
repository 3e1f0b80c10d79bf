"""What can be measured of an architecture; here the table of what needs no training."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from raynas.architecture import Architecture
from raynas.errors import UnknownNameError
from raynas.metrics.cost import MetaModels, count_macs, count_params, macs, params
from raynas.metrics.latency import latency_ms, measure_latency
from raynas.space import SearchSpace

__all__ = ["UNTRAINED_METRICS", "MetaModels", "count_macs", "count_params", "measure_latency", "untrained_metrics"]

UNTRAINED_METRICS: Mapping[str, Callable[[MetaModels, Architecture], float]] = {
    "params": params,
    "macs": macs,
    "latency_ms": latency_ms,
}
"""The metrics that need no training, by result key: each takes the networks of a space and an architecture."""


def untrained_metrics(
    space: SearchSpace, names: Iterable[str] | None = None
) -> dict[str, Callable[[Architecture], float]]:
    """The metrics of a space's architectures that need no training, e.g. ``untrained_metrics(space)["macs"](arch)``.

    Metrics asked for one architecture after another share its network.

    Args:
        space: where the architectures come from.
        names: the result keys wanted; None for all.

    Raises:
        UnknownNameError: if a name is not in ``UNTRAINED_METRICS``.
    """
    models = MetaModels(space)
    names = list(UNTRAINED_METRICS if names is None else names)
    for name in names:
        if name not in UNTRAINED_METRICS:
            raise UnknownNameError("untrained metric", name, UNTRAINED_METRICS)
    return {name: partial(UNTRAINED_METRICS[name], models) for name in names}
