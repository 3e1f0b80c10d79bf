"""The relaxed architecture of a search: its weights, the selections made from them, and its terms of the loss."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from raynas.core.architecture import Architecture, Option
from raynas.core.space import SearchSpace
from raynas.metrics.expected_cost import CostTable
from raynas.nn.selection import Mixture
from raynas.oneshot.differentiable.alphas import Alphas
from raynas.oneshot.differentiable.derive import derive

if TYPE_CHECKING:
    from raynas.oneshot.differentiable.method import Differentiable


class RelaxedArchitecture:
    """A distribution or mixture over architectures, as the settings of a method make it from its parameters.

    Args:
        method: the settings.
        alphas: the architecture parameters.
        space: of the architectures that are derived.
        tables: what each option costs, one table for each of the method's costs.
    """

    def __init__(self, method: "Differentiable", alphas: Alphas, space: SearchSpace, tables: list[CostTable]) -> None:
        self.method = method
        self.alphas = alphas
        self.space = space
        self.tables = tables

    def weights(self, progress: float) -> dict[str, Mixture]:
        """Return the weights of all relaxed decisions, with a gradient, for a step of the architecture.

        Args:
            progress: share of the training that is done, in [0, 1].
        """
        relaxation = self.method.relaxation
        return self.alphas.weigh(lambda a: relaxation.weigh(a, progress), relaxation)

    def fixed_weights(self, progress: float) -> dict[str, Mixture]:
        """Return the weights for a step of the shared weights, without a gradient."""
        relaxation = self.method.relaxation
        weights = self.alphas.weigh(lambda a: relaxation.weigh_fixed(a, progress), relaxation)
        return {name: Mixture(m.weights.detach(), m.active) for name, m in weights.items()}

    def selection(
        self, weights: Mapping[str, Mixture], progress: float, *, detached: bool = False
    ) -> dict[str, Option | Mixture]:
        """Return the selection of a supernet, with the auxiliary skip connections of this point of the training."""
        auxiliary = self.method.auxiliary_skip * (1 - progress)
        return self.alphas.selection(weights, detached=detached, auxiliary_skip=auxiliary)

    def mean_selection(self, progress: float) -> dict[str, Option | Mixture]:
        """Return the mixture without noise; its weights have a gradient."""
        relaxation = self.method.relaxation
        weights = self.alphas.weigh(lambda a: Mixture(relaxation.mean(a)), relaxation)
        derived = self.derived()
        kinds = {name: place.kind for name, place in self.alphas.places.items()}
        fixed = {name: derived[name] for name, kind in kinds.items() if kind == "drawn" and name in derived}
        strongest = {
            name: Mixture(torch.ones_like(self.alphas.values[name]), active=_inputs(derived, name))
            for name, kind in kinds.items()
            if kind == "drawn_inputs"
        }
        return {**self.selection(weights, progress), **fixed, **strongest}

    def derived(self) -> Architecture:
        """Return the canonical architecture of the strongest options."""
        method = self.method
        with torch.no_grad():
            strengths = self.alphas.strengths(method.relaxation, method.relaxation.rank)
        return derive(self.alphas, strengths, self.space, max_skips=method.max_skips, exempt=method.exempt)

    def weak_share(self, derived: Architecture) -> float:
        """Return the share of derived operations whose weight is below the method's threshold, in [0, 1]."""
        with torch.no_grad():
            weights = self.alphas.strengths(self.method.relaxation)
        found = [
            float(weights[name][place.choice.alternatives.index(derived[name])])
            for name, place in self.alphas.places.items()
            if place.kind == "operations" and name in derived
        ]
        return sum(weight < self.method.threshold for weight in found) / len(found) if found else 0.0

    def penalised(self, loss: Tensor) -> Tensor:
        """Return a loss with expected costs and regularisers in it, a scalar."""
        operations = list(self.alphas.operations().values())
        if self.method.costs:
            probabilities = self.alphas.option_probabilities(self.method.relaxation)
            for cost, table in zip(self.method.costs, self.tables, strict=True):
                loss = cost.applied(loss, table.expected(probabilities))
        for regulariser in self.method.regularisers if operations else ():
            loss = loss + regulariser(operations)
        return loss

    @torch.no_grad()
    def expected_costs(self) -> dict[str, float]:
        """Return the expectation of each cost, as ``expected_<name>``, in the unit of the cost."""
        probabilities = self.alphas.option_probabilities(self.method.relaxation) if self.tables else {}
        costs = zip(self.method.costs, self.tables, strict=True)
        return {f"expected_{cost.name}": float(table.expected(probabilities)) for cost, table in costs}


def _inputs(arch: Architecture, name: str) -> tuple[int, ...]:
    """Return the inputs that an architecture takes, by index; the first if the decision is not active."""
    return tuple(map(int, str(arch.get(name, 0)).split("+")))
