"""Zero-cost proxies: scores of a network at initialisation, each from its paper; larger is better for all of them.

Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021, arXiv:2101.08134, compare the first ones.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from torch import nn
from torch.nn.functional import cross_entropy

from raynas.core.inputs import Arguments
from raynas.errors import RaynasError, SettingError, UnknownNameError, one_line
from raynas.metrics.cost import count_macs, count_params
from raynas.metrics.zero_cost.ensemble import ENSEMBLE, RankEnsemble, rank_ensemble
from raynas.metrics.zero_cost.flow import logsynflow, synflow
from raynas.metrics.zero_cost.gradients import fisher, grad_norm, grasp, l2_norm, snip, zico
from raynas.metrics.zero_cost.jacobian import epe_nas, jacob_cov
from raynas.metrics.zero_cost.passes import Batch, Loss, Part, View
from raynas.metrics.zero_cost.regions import naswot, zen

__all__ = [
    "ENSEMBLE",
    "ZERO_COST",
    "Batch",
    "Proxy",
    "RankEnsemble",
    "Scores",
    "rank_ensemble",
    "zero_cost_scores",
]


@dataclass(frozen=True)
class Proxy:
    """A zero-cost proxy; call it as ``proxy(model, batch, loss)``. Larger scores are better.

    Args:
        name: its key in ``ZERO_COST``.
        compute: the score of what a view shows.
        parts: what it needs of the forward pass that proxies share.
        needs_data: whether it needs real inputs and labels; else only their shapes count, and token ids.
    """

    name: str
    compute: Callable[[View], float]
    parts: frozenset[Part] = frozenset()
    needs_data: bool = True

    def __call__(self, model: nn.Module, batch: Batch, loss: Loss = cross_entropy, *, seed: int = 0) -> float:
        """Score a network, which is left as it was.

        Args:
            model: takes the batch's inputs and gives one tensor; on any device.
            batch: inputs and labels, at least two.
            loss: maps outputs and labels to a scalar.
            seed: of dropout and random inputs; the same gives the same score.

        Raises:
            RaynasError: if the score is not a finite number, or cannot be computed.
        """
        return zero_cost_scores(model, batch, [self.name], loss, seed=seed).value_of(self.name)


_GRADIENTS, _MAPS = frozenset({Part.WEIGHT_GRADIENTS}), frozenset({Part.MAP_GRADIENTS})
_JACOBIAN, _CODES = frozenset({Part.INPUT_GRADIENT}), frozenset({Part.CODES})

ZERO_COST: Mapping[str, Proxy] = {
    proxy.name: proxy
    for proxy in (
        Proxy("grad_norm", grad_norm, _GRADIENTS),
        Proxy("snip", snip, _GRADIENTS),
        Proxy("grasp", grasp),
        Proxy("fisher", fisher, _MAPS),
        Proxy("zico", zico),
        Proxy("jacob_cov", jacob_cov, _JACOBIAN),
        Proxy("epe_nas", epe_nas, _JACOBIAN),
        Proxy("naswot", naswot, _CODES),
        Proxy("synflow", synflow, needs_data=False),
        Proxy("logsynflow", logsynflow, needs_data=False),
        Proxy("zen", zen, needs_data=False),
        Proxy("l2_norm", l2_norm, needs_data=False),
        Proxy("params", lambda view: float(count_params(view.model)), needs_data=False),
        Proxy("macs", lambda view: float(count_macs(view.model, view.inputs)), needs_data=False),
    )
}
"""The zero-cost proxies by name. Taken as a score, more parameters and multiply-adds are better too."""


@dataclass(frozen=True)
class Scores:
    """Scores of one network by several proxies.

    Args:
        values: finite scores by name.
        failures: why there is none, in one line, by name.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)

    def value_of(self, name: str) -> float:
        """Return one proxy's score.

        Raises:
            RaynasError: if there is none.
        """
        if name in self.failures:
            raise RaynasError(self.failures[name])
        return self.values[name]


def zero_cost_scores(
    model: nn.Module, batch: Batch, names: Iterable[str], loss: Loss = cross_entropy, *, seed: int = 0
) -> Scores:
    """Score a network by several proxies, which share forward and backward passes.

    The model is left as it was: weights, buffers, gradients, modes and what requires gradients.

    Args:
        model: takes the batch's inputs and gives one tensor; on any device.
        batch: inputs and labels, at least two.
        names: keys of ``ZERO_COST``.
        loss: maps outputs and labels to a scalar.
        seed: of dropout and random inputs; the same gives the same scores.

    Raises:
        UnknownNameError: if a name is not in ``ZERO_COST``.
        SettingError: if the batch has fewer than two examples.
    """
    proxies = [proxy_named(name) for name in dict.fromkeys(names)]
    if (n := Arguments.of(batch[0]).n_examples) < 2:
        raise SettingError(f"a batch must hold at least 2 examples, got {n}")
    parts = frozenset[Part]().union(*(proxy.parts for proxy in proxies))
    view = View(model, Batch(*batch), loss, seed, parts)
    values: dict[str, float] = {}
    failures: dict[str, str] = {}
    for proxy in proxies:
        try:
            values[proxy.name] = _finite(proxy.compute(view), proxy.name)
        except (RaynasError, RuntimeError, ValueError) as error:
            failures[proxy.name] = one_line(error)
    return Scores(values, failures)


def proxy_named(name: str) -> Proxy:
    """Look a proxy up.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    if name not in ZERO_COST:
        raise UnknownNameError("zero-cost proxy", name, ZERO_COST)
    return ZERO_COST[name]


def _finite(value: float, name: str) -> float:
    if not math.isfinite(value):
        raise RaynasError(f"{name} is {value}: the network cannot be scored as it is initialised")
    return value
