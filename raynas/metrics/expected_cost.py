"""Expected costs of a distribution over architectures: differentiable latency, multiply-adds or parameters.

Cai et al., "ProxylessNAS" (ICLR 2019, arXiv:1812.00332, section 3.3): a table of what each option costs, times how
likely it is. Where costs add up over decisions, as in a cell on a chain, the table is exact; elsewhere it is the best
fit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raynas.core.architecture import Architecture, Option
from raynas.core.metric import Metric
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.metrics.measurer import Measurer
from raynas.metrics.table import metrics_named

Cost = Callable[[Architecture], float]
"""Cost of an architecture, in any unit."""

Conditions = tuple[tuple[str, tuple[int, ...]], ...]
"""Decisions and, by index, the options that they must have."""


@dataclass(frozen=True, kw_only=True)
class CostTable:
    """A sum over decisions: a base, and for each active decision what its option adds.

    Args:
        base: what every architecture costs.
        costs: by decision, what each option adds, ``(n_options,)``.
        needs: by decision, what it takes to be active, from the root of the space on.
        error: the largest error on architectures that were left out of the fit, relative to their mean; 0 if exact.
    """

    base: float
    costs: Mapping[str, tuple[float, ...]]
    needs: Mapping[str, Conditions]
    error: float

    def of(self, options: Mapping[str, int]) -> float:
        """Return the cost of an architecture, given the index of each active decision's option."""
        return self.base + sum(self.costs[name][index] for name, index in options.items())

    def to_dict(self) -> dict[str, Any]:
        """Plain containers."""
        return {"base": self.base, "costs": dict(self.costs), "needs": dict(self.needs), "error": self.error}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> "CostTable":
        """Return the table that ``to_dict`` wrote."""
        return cls(**state)

    def expected(self, probabilities: Mapping[str, Tensor]) -> Tensor:
        """Return the expectation over architectures whose decisions are independent, a scalar with a gradient.

        Args:
            probabilities: for each decision those of its options, ``(n_options,)``, which sum to 1.
        """
        total = torch.tensor(self.base)
        for name, costs in self.costs.items():
            share = torch.dot(probabilities[name], torch.tensor(costs).to(probabilities[name]))
            for parent, allowed in self.needs[name]:
                share = share * probabilities[parent][list(allowed)].sum()
            total = total.to(share) + share
        return total


def fit_cost_table(
    space: SearchSpace,
    cost: str | Metric | Cost = "macs",
    *,
    n_samples: int | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    n_threads: int = 1,
) -> CostTable:
    """Fit a table by least squares to architectures that together show every option, their neighbours and random ones.

    Args:
        space: with discrete decisions only.
        cost: a metric that can be measured, or the name of one in ``METRICS``, such as "macs", "params" or
            "latency_ms"; or any function of an architecture.
        n_samples: random architectures; None for as many as there are options. A fifth more are kept to find the error.
        seed: of the random architectures.
        device: the device to measure on.
        n_threads: CPU threads to measure with.

    Raises:
        RaynasError: if a decision is continuous, a metric cannot be measured here, or a cost is not finite.
        UnknownNameError: if there is no metric of that name.
    """
    if any(not decision.options for decision in space.decisions):
        raise RaynasError(f"{space.name} has a continuous decision, which has no table of costs")
    if isinstance(cost, str | Metric):
        measurer = Measurer(space, device=device, n_threads=n_threads)
        (function,) = measurer.functions(metrics_named([cost])).values()
    else:
        function = cost
    rng = np.random.default_rng(seed)
    n_random = space.n_features if n_samples is None else n_samples
    centre = space.sample(rng)
    fitted = [
        centre,
        *space.neighbours(centre),
        *space.showcase(0, seed),
        *(space.sample(rng) for _ in range(n_random)),
    ]
    left_out = [space.sample(rng) for _ in range(max(n_random // 5, 2))]
    solution = _solve(space, list(dict.fromkeys(fitted)), function)
    table = _table(space, solution)
    return _with_error(space, table, left_out, function)


def index_options(space: SearchSpace, arch: Mapping[str, Option]) -> dict[str, int]:
    """Return the index of each active decision's option."""
    return {d.name: d.options.index(arch[d.name]) for d in space.decisions if d.name in arch}


def _solve(space: SearchSpace, archs: Sequence[Architecture], cost: Cost) -> Sequence[float]:
    features = np.array([[1.0, *space.encode(arch)] for arch in archs])
    values = np.array([cost(arch) for arch in archs], dtype=np.float64)
    if not np.isfinite(values).all():
        raise RaynasError(f"the cost of {archs[int(np.argmin(np.isfinite(values)))]} is not a finite number")
    solution: Sequence[float] = np.linalg.lstsq(features, values, rcond=None)[0].tolist()
    return solution


def _table(space: SearchSpace, solution: Sequence[float]) -> CostTable:
    costs, position = {}, 1
    for decision in space.decisions:
        costs[decision.name] = tuple(solution[position : position + decision.n_features])
        position += decision.n_features
    return CostTable(base=solution[0], costs=costs, needs=_needs(space), error=0.0)


def _with_error(space: SearchSpace, table: CostTable, archs: Sequence[Architecture], cost: Cost) -> CostTable:
    true = [cost(arch) for arch in archs]
    said = [table.of(index_options(space, arch)) for arch in archs]
    # Relative to the mean: an architecture may cost nothing.
    error = float(np.abs(np.subtract(said, true)).max() / max(np.abs(true).mean(), 1e-12))
    return replace(table, error=error if error > 1e-6 else 0.0)


def _needs(space: SearchSpace) -> dict[str, Conditions]:
    """Return the conditions of each decision: its own, and those of the decisions that they name."""
    options = {d.name: list(d.options) for d in space.decisions}
    allowed: dict[str, dict[str, set[int]]] = {}
    for decision in space.decisions:
        mine: dict[str, set[int]] = {}
        for parent, listed in decision.active_if.items():
            indices = {options[parent].index(option) for option in listed}
            for name, those in [(parent, indices), *allowed[parent].items()]:
                mine[name] = mine[name] & those if name in mine else set(those)
        allowed[decision.name] = mine
    return {name: tuple((p, tuple(sorted(s))) for p, s in mine.items()) for name, mine in allowed.items()}
