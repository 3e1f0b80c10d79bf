"""Parameters and multiply-adds as sums over the options of an architecture, where a model's choices allow it.

One forward pass in which every choice runs all of its options shows whether they do. If the outputs of all options of
each choice have the same shapes, then the shapes of all inputs in the network do not depend on the choices (by
induction over the calls, as no operation on the meta device can depend on values). So each branch costs in every
network what it costs in that pass.

This assumes that a forward pass depends on the shapes of tensors only, not on the module that a choice became. Users of
the sums should compare some of them with exact counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from raynas.core.architecture import Option
from raynas.core.space import SearchSpace
from raynas.metrics.mac_counter import no_garbage_collection
from raynas.metrics.option_costs import (
    NoSumError,
    OptionCosts,
    macs_by_option,
    options_of,
    outermost_choices,
    params_by_option,
)
from raynas.nn.elastic import ElasticLayer
from raynas.nn.expansion import ExpandedChoice, expand
from raynas.nn.lazy_layers import lazy_layers
from raynas.nn.model_space import ModelSpace

Requirement = frozenset[tuple[str, frozenset[Option]]]
"""Condition under which a choice exists: decisions, and the options that they may have."""

Terms = Mapping[tuple[str, Requirement], OptionCosts]
"""Costs of the options of each decision, separately for each requirement."""


@dataclass(frozen=True)
class CostSums:
    """The costs of the networks of a space, as sums.

    Args:
        base: cost of every network, by the name of the metric, "params" or "macs".
        terms: costs that options add, by the name of the metric.
    """

    base: Mapping[str, int]
    terms: Mapping[str, Terms]

    @cached_property
    def names(self) -> frozenset[str]:
        """The decisions."""
        return frozenset(name for terms in self.terms.values() for name, _ in terms)

    def of(self, metric: str, arch: Mapping[str, Option]) -> int:
        """Return the cost of a member.

        Raises:
            KeyError: if ``arch`` is not a member.
        """
        if not arch.keys() <= self.names:
            raise KeyError(*(arch.keys() - self.names))
        return self.base[metric] + sum(
            costs[arch[name]]
            for (name, requirement), costs in self.terms[metric].items()
            if not requirement or all(arch.get(other) in allowed for other, allowed in requirement)
        )


def cost_sums(space: SearchSpace) -> CostSums | None:
    """Return the costs of a space's networks as sums; None where they are not known to be sums.

    They are not for spaces that are not read off a model, or change what is made of it, and for models with elastic
    or lazy layers, with options that put out different shapes, or that cannot run on the meta device.
    """
    if not isinstance(space, ModelSpace) or type(space).build is not ModelSpace.build:
        return None
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False), no_garbage_collection():
            with torch.device("meta"):
                model = expand(space.factory())
            if any(isinstance(module, ElasticLayer) for module in model.modules()) or lazy_layers(model):
                raise NoSumError("widths depend on decisions")
            found = list(_choices(model, frozenset()))
            choices = [choice for choice, _ in found]
            params, added_params = params_by_option(model, choices)
            macs, added_macs = macs_by_option(model, choices, lambda: space.example(1, "meta"))
    except Exception:  # An error in a user's model is raised, with its reason, when its networks are counted.
        return None
    terms = {"params": _merged(found, added_params), "macs": _merged(found, added_macs)}
    return CostSums({"params": params, "macs": macs}, terms)


def _choices(module: nn.Module, requirement: Requirement) -> Iterator[tuple[ExpandedChoice, Requirement]]:
    """Yield the choices in a model, each once, and the requirement for their existence.

    A choice that several branches hold would need any of several conditions: ``params_by_option`` refuses it.
    """
    for choice in outermost_choices(module):
        yield choice, requirement
        for name, branch in choice.named_children():
            allowed = frozenset(choice.choice.options_with(name))
            is_always = allowed == set(options_of(choice))
            yield from _choices(branch, requirement if is_always else requirement | {(choice.name, allowed)})


def _merged(found: Sequence[tuple[ExpandedChoice, Requirement]], costs: Mapping[ExpandedChoice, OptionCosts]) -> Terms:
    """Add the costs of all choices that share a decision and a requirement."""
    terms: dict[tuple[str, Requirement], OptionCosts] = {}
    for choice, requirement in found:
        term = terms.setdefault((choice.name, requirement), dict.fromkeys(costs[choice], 0))
        for option, cost in costs[choice].items():
            term[option] += cost
    return terms
