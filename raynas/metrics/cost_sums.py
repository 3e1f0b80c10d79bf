"""Parameters and multiply-adds as sums of what each option adds, where a model's choices allow it.

One forward pass in which every choice runs all of its options shows whether they do. If all options of each choice put
out tensors of the same shapes, then what reaches any place of the network is the same whatever is chosen elsewhere (by
induction over the calls, as no operation on the meta device can depend on values). So each part costs what it costs in
that pass, in every network that it is in.

What that takes for granted is that a forward pass looks at the shapes of tensors alone, not at which module a choice
became. Who uses the sums should compare some of them with what is counted.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import nn

from raynas.core.architecture import Option
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.metrics.mac_counter import MacCounter, description, macs_of, no_garbage_collection
from raynas.nn.elastic import ElasticLayer
from raynas.nn.expansion import OpenChoice, opened
from raynas.nn.model_space import ModelSpace, lazy_layers

Needs = frozenset[tuple[str, frozenset[Option]]]
"""What has to be chosen for a place to exist: decisions, and the options that they may have."""

Costs = dict[Option, int]
"""What each option of a choice adds."""


@dataclass(frozen=True)
class CostSums:
    """What the networks of a space cost.

    Args:
        base: what every network costs, by the name of the metric, "params" or "macs".
        terms: by the name of the metric, for each decision and each condition under which it matters, what its
            options add.
    """

    base: Mapping[str, int]
    terms: Mapping[str, Mapping[tuple[str, Needs], Costs]]

    @cached_property
    def names(self) -> frozenset[str]:
        """The decisions."""
        return frozenset(name for terms in self.terms.values() for name, _ in terms)

    def of(self, metric: str, arch: Mapping[str, Option]) -> int:
        """What a member costs.

        Raises:
            KeyError: if ``arch`` is not a member.
        """
        if not arch.keys() <= self.names:
            raise KeyError(*(arch.keys() - self.names))
        return self.base[metric] + sum(
            costs[arch[name]]
            for (name, needs), costs in self.terms[metric].items()
            if not needs or all(arch.get(other) in allowed for other, allowed in needs)
        )


def cost_sums(space: SearchSpace) -> CostSums | None:
    """The sums that the costs of a space's networks are; None where they are not known to be any.

    There are none for spaces that are not read off a model, or change what is made of it, and for models with elastic
    or lazy layers, with options that put out different shapes, or that cannot run on the meta device.
    """
    if not isinstance(space, ModelSpace) or type(space).build is not ModelSpace.build:
        return None
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False), no_garbage_collection():
            with torch.device("meta"):
                model = opened(space.factory())
            return _sums_of(model, lambda: space.example_input(1, "meta"))
    except Exception:  # Whatever goes wrong in a model of the user's goes wrong in its networks too, which are told.
        return None


def _sums_of(model: nn.Module, example: Callable[[], torch.Tensor]) -> CostSums:
    places = list(_places(model, frozenset()))
    if any(isinstance(module, ElasticLayer) for module in model.modules()) or lazy_layers(model):
        raise _NoSumError("widths depend on decisions")
    params, in_parts = _params_of(model, [place for place, _ in places])
    trace = _Trace()
    for place, _ in places:
        place.forward = partial(trace.run, place)  # type: ignore[method-assign]
        trace.costs[place] = dict.fromkeys(_options(place), 0)
    macs = macs_of(model, example, trace.counter)
    terms = {"params": _merged(places, in_parts), "macs": _merged(places, trace.costs)}
    return CostSums({"params": params, "macs": macs}, terms)


class _NoSumError(RaynasError):
    """Costs do not add up."""


def _places(module: nn.Module, needs: Needs) -> Iterator[tuple[OpenChoice, Needs]]:
    """The choices in a model, each once, and what it takes for them to exist.

    A choice that several parts hold would need any of several things: ``_params_of`` refuses it.
    """
    for place in _outermost(module):
        yield place, needs
        for name, part in place.named_children():
            allowed = frozenset(place.choice.options_with(name))
            yield from _places(part, needs if allowed == set(_options(place)) else needs | {(place.name, allowed)})


def _outermost(module: nn.Module) -> list[OpenChoice]:
    """The choices that are in no other, each once."""
    if isinstance(module, OpenChoice):
        return [module]
    return list(dict.fromkeys(place for child in module.children() for place in _outermost(child)))


def _options(place: OpenChoice) -> tuple[Option, ...]:
    return tuple(place.choice.decision(place.name, {}).options)


def _merged(places: list[tuple[OpenChoice, Needs]], costs: Mapping[OpenChoice, Costs]) -> dict[Any, Costs]:
    """One term for all places with the same decision that exist under the same conditions; none without costs."""
    terms: dict[tuple[str, Needs], Costs] = {}
    for place, needs in places:
        term = terms.setdefault((place.name, needs), dict.fromkeys(costs[place], 0))
        for option, cost in costs[place].items():
            term[option] += cost
    return terms


# --- parameters ------------------------------------------------------------------------------------------------------


def _params_of(model: nn.Module, places: list[OpenChoice]) -> tuple[int, dict[OpenChoice, Costs]]:
    """The parameters outside of all choices, and what each option of each choice adds."""
    if len(set(places)) < len(places):
        raise _NoSumError("two parts hold the same choice")
    seen: set[nn.Parameter] = set()
    fixed = _own_params(model, seen)
    costs: dict[OpenChoice, Costs] = {}
    for place in places:
        costs[place] = dict.fromkeys(_options(place), 0)
        for name, part in place.named_children():
            n_params = _own_params(part, seen)
            for option in place.choice.options_with(name):
                costs[place][option] += n_params
    return fixed, costs


def _own_params(module: nn.Module, seen: set[nn.Parameter]) -> int:
    """The parameters of a module without those in its choices."""
    mine = set(_outside_choices(module))
    if mine & seen:
        raise _NoSumError("two parts share parameters")
    seen |= mine
    return sum(parameter.numel() for parameter in mine)


def _outside_choices(module: nn.Module) -> Iterator[nn.Parameter]:
    if not isinstance(module, OpenChoice):
        yield from module.parameters(recurse=False)
        for child in module.children():
            yield from _outside_choices(child)


# --- multiply-adds ---------------------------------------------------------------------------------------------------


class _Trace:
    """A forward pass in which choices run all their options; each operation counts for the innermost part it is in."""

    def __init__(self) -> None:
        self.counter = MacCounter({})
        self.costs: dict[OpenChoice, Costs] = {}

    def run(self, place: OpenChoice, *inputs: Any, **named: Any) -> Any:
        """Run every option of a choice, and every part once."""
        known: dict[str, tuple[Any, Any, int]] = {}
        outputs = []
        for option in self.costs[place]:
            used: list[str] = []
            part: Any = partial(self._part, place, known, used, named)
            output, macs = self._counted(partial(place.choice.run, option, part, *inputs))
            self.costs[place][option] += macs + sum(known[name][2] for name in used)
            outputs.append(output)
        if any(_shapes(output) != _shapes(outputs[0]) for output in outputs):
            raise _NoSumError(f"options of {place.name} put out different shapes")
        return outputs[0]

    def _part(
        self,
        place: OpenChoice,
        known: dict[str, tuple[Any, Any, int]],
        used: list[str],
        named: Mapping[str, Any],
        name: str,
    ) -> Callable[..., Any]:
        """Stands for a part: runs it once, and gives the same output to other options that hold it."""

        def run(*inputs: Any) -> Any:
            reached_by = description(inputs)
            if name not in known:
                known[name] = (reached_by, *self._counted(partial(place.part(name), *inputs, **named)))
            if known[name][0] != reached_by:
                raise _NoSumError(f"what reaches {name} of {place.name} depends on the option")
            used.append(name)
            return known[name][1]

        return run

    def _counted(self, compute: Callable[[], Any]) -> tuple[Any, int]:
        """What ``compute`` gives and costs; that counts for nothing that is around it."""
        outside, self.counter.macs = self.counter.macs, 0
        output = compute()
        macs, self.counter.macs = self.counter.macs, outside
        return output, macs


def _shapes(output: Any) -> Any:
    if isinstance(output, torch.Tensor):
        return output.shape, output.dtype
    if isinstance(output, (list, tuple)):
        return [_shapes(item) for item in output]
    raise _NoSumError(f"a choice puts out a {type(output).__name__}")
