"""Channel groups of a supernet: those whose order does not matter to its widest networks."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from raynas.core.architecture import Option
from raynas.nn.dimensions.expressions import Atom, Dimension, atoms, resolved, terms, unify
from raynas.nn.dimensions.model_trace import is_free
from raynas.nn.dimensions.tracing import INPUT, OUTPUT, Trace, slow_attention, tensors_in
from raynas.nn.elastic import ElasticLayer
from raynas.nn.elastic_layers import ElasticConv2d, ElasticLinear, ElasticResize
from raynas.nn.expansion import ExpandedChoice
from raynas.nn.modes import evaluating
from raynas.nn.selection import Call, Selection, calling
from raynas.nn.supernet import Supernet

WIDTHS = ("out_channels", "out_features")
"""The arguments of elastic layers that are widths."""


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are numbered together: what is done to them in one layer has to be done in all.

    Args:
        decision: name of the decision on their number.
        producers: paths of the elastic layers that put them out.
        n_channels: their largest number.
        slots: names of the tensors in ``supernet.net`` that hold them, each with the dimension that starts with them.
        readers: names of the weights by which convolutions and linear layers read them, in dimension 1.
    """

    decision: str
    producers: tuple[str, ...]
    n_channels: int
    slots: tuple[tuple[str, int], ...]
    readers: tuple[str, ...]


def channel_groups(supernet: Supernet) -> list[ChannelGroup]:
    """Return the channels of elastic width whose order can be changed without changing the widest networks.

    They are read off a trace with the largest sizes, in which all options of each choice are computed; their outputs
    are taken to have the same channels.
    Left out are channels that are concatenated behind others, flattened, regrouped, returned by the network, or told
    apart by a user's operation, such as a product with a range of numbers; and those that no convolution and no linear
    layer reads.

    Args:
        supernet: left as it is.
    """
    layers = elastic_layers(supernet)
    decisions = {path: name for path, layer in layers.items() if (name := _decision_on_width(layer))}
    if not decisions:
        return []
    trace = _SupernetTrace(supernet)
    groups = (trace.group(channels, decisions) for channels in trace.free_outputs(decisions))
    return [group for group in groups if group is not None]


def elastic_layers(supernet: Supernet) -> dict[str, ElasticLayer]:
    """Return the elastic layers by their paths in ``supernet.net``."""
    return {path: layer for path, layer in supernet.net.named_modules() if isinstance(layer, ElasticLayer)}


def _mixes(layer: ElasticLayer) -> bool:
    """Return whether each output of a layer is a sum over all inputs."""
    return isinstance(layer, ElasticLinear) or (isinstance(layer, ElasticConv2d) and not layer.group_width)


def _decision_on_width(layer: ElasticLayer) -> str | None:
    """Return the name of the decision on the number of a layer's outputs; None if there is none."""
    return next((name for argument, name in layer.names.items() if argument in WIDTHS and _mixes(layer)), None)


class _SupernetTrace:
    """A trace of the widest networks together, on a copy of a supernet without values.

    Args:
        supernet: left as it is.
    """

    def __init__(self, supernet: Supernet) -> None:
        self._bare = copy.deepcopy(supernet, {id(supernet.space): supernet.space}).to("meta", torch.float32)
        net = self._bare.net
        self._tensors: Mapping[str, Tensor] = {**dict(net.named_parameters()), **dict(net.named_buffers())}
        self._trace = Trace()
        for tensor in self._tensors.values():
            self._trace.put_free(tensor)
        self._run()
        self._slots: dict[Atom, list[tuple[str, int, Dimension]]] = {}
        for name, tensor in self._tensors.items():
            for axis, dimension in enumerate(self._trace.of(tensor)):
                for atom in dict.fromkeys(atoms(dimension)):
                    self._slots.setdefault(atom, []).append((name, axis, dimension))
        self._told_apart = {atom for dimension in self._trace.constants for atom in atoms(dimension)}

    def free_outputs(self, paths: Mapping[str, str]) -> list[Atom]:
        """Return the output channels of layers that can change places."""
        outputs = [resolved(self._trace.of(self._tensors[_weight(path)])[0]) for path in paths]
        free = dict.fromkeys(each for each in outputs if isinstance(each, Atom) and is_free(each) and each.size > 1)
        return [channels for channels in free if channels not in self._told_apart]

    def group(self, channels: Atom, decisions: Mapping[str, str]) -> ChannelGroup | None:
        """Return the group of channels; None if their order cannot be changed.

        Args:
            channels: they are free.
            decisions: on the widths of layers, by path.
        """
        found = self._slots[channels]
        slots = tuple((name, axis) for name, axis, _ in found)
        producers = tuple(path for path in decisions if (_weight(path), 0) in slots)
        readers = tuple(
            _weight(path)
            for path, layer in elastic_layers(self._bare).items()
            if (_weight(path), 1) in slots and _mixes(layer)
        )
        names = {decisions[path] for path in producers}
        if not readers or len(names) > 1 or not all(_starts_with(channels, dimension) for *_, dimension in found):
            return None
        return ChannelGroup(names.pop(), producers, channels.size, slots, readers)

    def _run(self) -> None:
        inputs = self._bare.space.example(2, "meta")
        self._trace.freeze(inputs, INPUT)
        sizes = dict(size for layer in elastic_layers(self._bare).values() for size in _largest_sizes(layer))
        with evaluating(self._bare), slow_attention(), calling(_AllOptions(sizes, self._trace)), self._trace:
            result = inputs.call(self._bare.net)
        self._trace.freeze(result, OUTPUT)


class _AllOptions(Call):
    """A call that computes all options of each choice, whose outputs then have the same dimensions.

    Args:
        sizes: the options of elastic layers.
        trace: of the call.
    """

    def __init__(self, sizes: Selection, trace: Trace) -> None:
        super().__init__(sizes)
        self._trace = trace

    def run(self, choice: ExpandedChoice, *inputs: object, **named: object) -> object:
        options = choice.choice.decision(choice.name, {}).options
        first, *others = (choice.compute(option, *inputs, **named) for option in options)
        for other in others:
            for a, b in zip(tensors_in(first), tensors_in(other), strict=True):
                self._unite(a, b)
        return first

    def _unite(self, one: Tensor, other: Tensor) -> None:
        if one.ndim != other.ndim:
            self._trace.freeze((one, other), "options of a choice have different shapes")
            return
        for a, b in zip(self._trace.of(one), self._trace.of(other), strict=True):
            unify(a, b)


def _largest_sizes(layer: ElasticLayer) -> Iterator[tuple[str, Option]]:
    """Yield the decisions on the sizes of a layer with their largest options."""
    # The resolution does not matter, except for the time it takes.
    pick = min if isinstance(layer, ElasticResize) else max
    for argument, name in layer.names.items():
        size = layer.size_choices[argument]
        yield name, pick(size.options, key=lambda option, size=size: size.value(option, layer.n_in))  # type: ignore[misc]


def _weight(path: str) -> str:
    return f"{path}.shared.weight" if path else "shared.weight"


def _starts_with(channels: Atom, dimension: Dimension) -> bool:
    """Return True if a dimension consists of channels, or of these and then others."""
    first, *others = terms(dimension)
    return first is channels and all(channels not in atoms(other) for other in others)
