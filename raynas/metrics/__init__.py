"""What can be measured of an architecture; here the table of what needs no training."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.errors import UnknownNameError
from raynas.metrics.cost import MetaModels, count_macs, count_params, macs, params
from raynas.metrics.latency import latency_ms, measure_latency
from raynas.metrics.zero_cost import ENSEMBLE, ZERO_COST, Batch, rank_ensemble, zero_cost_scores
from raynas.metrics.zero_cost.by_name import COUNTED, WITHOUT_DATA, Proxies, check_data

__all__ = [
    "ENSEMBLE",
    "UNTRAINED_METRICS",
    "ZERO_COST",
    "Batch",
    "MetaModels",
    "count_macs",
    "count_params",
    "measure_latency",
    "rank_ensemble",
    "untrained_metrics",
    "zero_cost_scores",
]

UNTRAINED_METRICS: Mapping[str, Callable[[MetaModels, Architecture], float]] = {
    **WITHOUT_DATA,
    "params": params,
    "macs": macs,
    "latency_ms": latency_ms,
}
"""The metrics that need neither training nor data, by result key: each takes the networks of a space and an
architecture. Those of zero-cost proxies are of weights that follow from the architecture."""


def untrained_metrics(
    space: SearchSpace,
    names: Iterable[str] | None = None,
    *,
    batch: Callable[[], Batch] | None = None,
    seed: int = 0,
    models: MetaModels | None = None,
) -> dict[str, Callable[[Architecture], float]]:
    """The metrics of a space's architectures that need no training, e.g. ``untrained_metrics(space)["macs"](arch)``.

    Metrics asked for one architecture after another share its network. With names and a batch, those of zero-cost
    proxies are computed together when the first of them is asked for.

    Args:
        space: where the architectures come from.
        names: the result keys wanted; None for all.
        batch: gives images and labels, for zero-cost proxies that need them; called when one is asked for.
        seed: of the weights that zero-cost proxies see, together with the architecture.
        models: count the costs; None for ones of its own.

    Raises:
        RaynasError: if a zero-cost proxy is named that needs images, and there is no batch.
        UnknownNameError: if a name is neither in ``UNTRAINED_METRICS`` nor in ``ZERO_COST``.
    """
    known = {**UNTRAINED_METRICS, **ZERO_COST}
    wanted = list(known if batch else UNTRAINED_METRICS) if names is None else list(names)
    for name in wanted:
        if name not in known:
            raise UnknownNameError("untrained metric", name, known)
    if batch is None:
        check_data(wanted)
    models = models or MetaModels(space)
    scored = [name for name in wanted if name in ZERO_COST and name not in COUNTED]
    together = Proxies(space, tuple(scored), batch, seed)
    found: dict[str, Callable[[Architecture], float]] = {}
    for name in wanted:
        if name in scored:
            proxies = Proxies(space, (name,), batch, seed) if names is None else together
            found[name] = partial(proxies.score, name)
        else:
            found[name] = partial(UNTRAINED_METRICS[name], models)
    return found
