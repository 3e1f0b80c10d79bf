"""The largest and the smallest network of any space."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Decision
from raynas.metrics.cost import MetaModels, count_params
from raynas.nn.elastic import ElasticLayer
from raynas.nn.repeat import Repeat
from raynas.nn.supernet import Supernet


def largest(supernet: Supernet) -> Architecture:
    """Return the largest network of the supernet's space.

    It has the largest number of every ``Size`` and the greatest depth of every ``Repeat``. Of every other choice it has
    the option with the most multiply-adds, of equal ones that with the most parameters, of equal ones the first; they
    are compared with everything inside them at its largest. So where decisions add to the cost independently, no
    network of the space has more multiply-adds.

    Args:
        supernet: says what kind of choice each decision is.
    """
    return _Extreme(supernet, max).architecture()


def smallest(supernet: Supernet) -> Architecture:
    """Return the smallest network of the supernet's space: as ``largest``, with the least of everything."""
    return _Extreme(supernet, min).architecture()


def ranked_numbers(supernet: Supernet) -> dict[str, Sequence[Option]]:
    """By name, the options of each decision about a number, from least to most: each ``Size``, each ``Repeat``.

    Sizes are compared at the most channels that reach their layer.

    Args:
        supernet: says what kind of choice each decision is.
    """
    repeats = {place.name: place.choice for place in supernet.expanded_choices if isinstance(place.choice, Repeat)}
    ranked: dict[str, Sequence[Option]] = {name: repeat.alternatives for name, repeat in repeats.items()}
    for name, (layer, argument) in sized_layers(supernet).items():
        size = layer.size_choices[argument]
        ranked[name] = sorted(size.options, key=lambda o, s=size, n=layer.n_in: s.value(o, n))  # type: ignore[misc]
    return ranked


def sized_layers(supernet: Supernet) -> dict[str, tuple[ElasticLayer, str]]:
    """By the name of each size's decision, the first layer that it is of, and the argument."""
    found: dict[str, tuple[ElasticLayer, str]] = {}
    for layer in supernet.net.modules():
        if isinstance(layer, ElasticLayer):
            for argument, name in layer.names.items():
                found.setdefault(name, (layer, argument))
    return found


class _Extreme:
    """Finds the option of each decision, those inside others first.

    Args:
        supernet: what to look at.
        pick: ``max`` or ``min``.
    """

    def __init__(self, supernet: Supernet, pick: Callable[..., Any]) -> None:
        self.space = supernet.space
        self.pick = pick
        self.models = MetaModels(self.space)
        self.known = {decision.name: decision for decision in self.space.decisions}
        end = -1 if pick is max else 0
        self.found: dict[str, Option] = {name: ranked[end] for name, ranked in ranked_numbers(supernet).items()}

    def architecture(self) -> Architecture:
        for decision in reversed(self.known.values()):
            if decision.name not in self.found:
                self.found[decision.name] = self.pick(decision.options, key=lambda o, d=decision: self._cost(d, o))
        return self.space.canonical(self.found)

    def _cost(self, decision: Decision, option: Option) -> tuple[int, int]:
        """Multiply-adds and parameters of a network with this option, all else as found so far."""
        first = {name: d.default for name, d in self.known.items()}
        arch = self.space.canonical({**first, **self.found, **self._conditions(decision), decision.name: option})
        return self.models.macs(arch), count_params(self.models(arch))

    def _conditions(self, decision: Decision) -> Mapping[str, Option]:
        """Options under which ``decision`` is active: those found so far where they allow it."""
        options: dict[str, Option] = {}
        for parent, allowed in decision.active_if.items():
            options |= self._conditions(self.known[parent])
            options[parent] = self.found[parent] if self.found.get(parent) in allowed else allowed[0]
        return options
