"""Channel groups of a supernet: those whose order does not matter, found by trying.

A supernet cannot be traced like a plain network, as its control flow depends on the selection.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.nn.batch_statistics import batch_statistics
from raynas.nn.elastic import ElasticLayer, Sizes
from raynas.nn.elastic_layers import (
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticLinear,
    ElasticResize,
    ElasticSqueezeExcite,
)
from raynas.nn.morphism.layer_kinds import (
    INPUT_SLOTS,
    NORM_SLOTS,
    OUTPUT_SLOTS,
    ChannelGroup,
    Slots,
    reorder,
)
from raynas.nn.selection import Call, calling
from raynas.nn.supernet import Supernet

TOLERANCE = 1e-3
"""Maximum difference of outputs relative to the largest one: sums in another order round differently."""

N_RANDOM = 3
"""Number of random members that are tried besides those that are needed to reach every layer."""

WIDTHS = ("out_channels", "out_features")
"""The arguments of elastic layers that are widths."""


def channel_groups(supernet: Supernet) -> list[ChannelGroup]:
    """Return the channels of elastic width whose order can be changed without changing the widest network.

    The layers that they reach are found by making one layer narrower: the inputs of these become narrower too. If that
    network cannot run, for example because outputs are added to others, all equally wide layers of the same decision
    are made narrower together.
    That the order does not matter is then tested on a copy with random weights. Channels that fail the test are left
    out: those that are concatenated behind others, flattened, regrouped, returned by the network, or read by a user's
    operation that tells them apart; and so are those that reach an elastic layer of an unknown kind or a grouped
    convolution with more than one channel in a group.

    Args:
        supernet: left as it is.
    """
    finder, producers = _Finder(supernet), _producers(supernet)
    alone = finder.groups((decision, [path]) for decision, paths in producers.items() for path in paths)
    found = {path for group in alone for path in group.producers}
    rest = {decision: [path for path in paths if path not in found] for decision, paths in producers.items()}
    return alone + finder.groups(
        (decision, some) for decision, paths in rest.items() for some in finder.equally_wide(paths) if len(some) > 1
    )


def elastic_layers(supernet: Supernet) -> dict[str, ElasticLayer]:
    """Return the elastic layers by their paths in ``supernet.net``."""
    return {path: layer for path, layer in supernet.net.named_modules() if isinstance(layer, ElasticLayer)}


def is_reader(layer: ElasticLayer) -> bool:
    """Return whether a layer mixes its input channels, so that their order does not matter behind it."""
    return type(layer) is ElasticLinear or (isinstance(layer, ElasticConv2d) and not layer.group_width)


def reorder_group(
    layers: Mapping[str, ElasticLayer],
    group: ChannelGroup,
    order: Tensor,
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """Put the channels of a group into another order in all layers, in place.

    Args:
        layers: of the supernet, by path.
        group: the channels.
        order: index of the channel that moves to each position, shape ``(n_channels,)``.
        optimizer: of the weights; its state is put in the same order.
    """
    for path in group.producers:
        reorder(layers[path].shared, OUTPUT_SLOTS, order, optimizer)
    for path in group.consumers:
        reorder(layers[path].shared, _input_slots(layers[path]) or (), order, optimizer)


def _input_slots(layer: ElasticLayer) -> Slots | None:
    """Return the slots of a layer's input channels; None if their order cannot be changed."""
    if is_reader(layer):
        return INPUT_SLOTS
    if isinstance(layer, ElasticConv2d) and layer.group_width == 1 and not layer.fixed.get("out_channels", 1):
        return OUTPUT_SLOTS
    if type(layer) is ElasticBatchNorm2d:
        return NORM_SLOTS
    if type(layer) is ElasticSqueezeExcite:
        return ("squeeze.weight", 1), ("excite.weight", 0), ("excite.bias", 0)
    return None


def _producers(supernet: Supernet) -> dict[str, list[str]]:
    """Return by decision the paths of the layers whose output width it is."""
    found: dict[str, list[str]] = {}
    for path, layer in elastic_layers(supernet).items():
        for argument, name in layer.names.items():
            if argument in WIDTHS and is_reader(layer):
                found.setdefault(name, []).append(path)
    return found


class _Finder:
    """Finds groups on two copies of a supernet: one without values for widths, one with random values for outputs.

    Args:
        supernet: left as it is.
    """

    def __init__(self, supernet: Supernet) -> None:
        space = supernet.space
        with torch.no_grad():
            self.bare = copy.deepcopy(supernet, {id(space): space}).to("meta").eval()
            self.random = copy.deepcopy(supernet, {id(space): space}).to("cpu", torch.float32)
            self.generator = torch.Generator().manual_seed(0)
            for tensor in self.random.parameters():
                tensor.normal_(generator=self.generator).div_(max(1, tensor[:1].numel()) ** 0.5)
        self.layers = elastic_layers(self.bare)
        self.selections = self._covering_selections()
        self.inputs = space.example(2).map_real(lambda x: torch.randn(x.shape, generator=self.generator))
        self.outputs = self._outputs()
        self.widths = self._input_widths({})

    def equally_wide(self, producers: Sequence[str]) -> Sequence[list[str]]:
        """Return the producers, those with the same maximum width together."""
        by_width: dict[int, list[str]] = {}
        for path in producers:
            largest = self.layers[path].largest
            by_width.setdefault(next(largest[name] for name in WIDTHS if name in largest), []).append(path)
        return list(by_width.values())

    def groups(self, sought: Iterable[tuple[str, Sequence[str]]]) -> list[ChannelGroup]:
        """Return the groups of decisions and producers whose order can be changed."""
        return self._free([group for decision, paths in sought if (group := self._group(decision, paths))])

    def _group(self, decision: str, producers: Sequence[str]) -> ChannelGroup | None:
        """Return the group of output channels of these layers, if all layers that they reach are of a known kind."""
        sizes = [self.layers[path].largest for path in producers]
        argument = next(name for name in WIDTHS if name in sizes[0])
        n_channels = sizes[0][argument]
        if n_channels == 1 or any(size[argument] != n_channels for size in sizes):
            return None
        paths = self._consumers(producers, argument, n_channels)
        consumers = [self.layers[path] for path in paths]
        if not any(map(is_reader, consumers)) or not all(map(_input_slots, consumers)):
            return None
        return ChannelGroup(tuple(producers), tuple(paths), n_channels, decision)

    def _consumers(self, producers: Sequence[str], argument: str, n_channels: int) -> list[str]:
        """Return the layers whose inputs become narrower with these outputs; none if that network cannot run."""
        narrower = {path: {**self.layers[path].largest, argument: n_channels - 1} for path in producers}
        try:
            widths = self._input_widths(narrower)
        except (RuntimeError, ValueError):
            return []
        return [path for path, width in self.widths.items() if widths[path] == width - 1]

    def _input_widths(self, sizes: Mapping[str, Sizes]) -> dict[str, int]:
        """Return the number of input channels of each layer.

        Args:
            sizes: of some layers; the others have their largest sizes.
        """
        paths: dict[nn.Module, str] = {layer: path for path, layer in self.layers.items()}
        fixed: dict[nn.Module, Sizes] = {
            layer: sizes.get(path, layer.largest)
            for path, layer in self.layers.items()
            if not isinstance(layer, ElasticResize)
        }
        inputs = self.bare.space.example(2, "meta")
        widths: dict[str, int] = {}
        for selection in self.selections:
            with torch.no_grad(), calling(Call(selection, sizes=fixed, shapes_only=True)) as call:
                inputs.call(self.bare.net)
            widths |= {paths[layer]: width for layer, width in call.widths.items()}
        return widths

    def _free(self, groups: list[ChannelGroup]) -> list[ChannelGroup]:
        """Return the groups of which another order leaves the outputs unchanged, by bisection."""
        if not groups or self._same_in_other_order(groups):
            return groups
        half = len(groups) // 2
        return self._free(groups[:half]) + self._free(groups[half:]) if half else []

    def _same_in_other_order(self, groups: Sequence[ChannelGroup]) -> bool:
        layers = elastic_layers(self.random)
        orders = [torch.randperm(group.n_channels, generator=self.generator) for group in groups]
        for group, order in zip(groups, orders, strict=True):
            reorder_group(layers, group, order)
        after = self._outputs()
        for group, order in zip(reversed(groups), reversed(orders), strict=True):
            reorder_group(layers, group, order.argsort())
        return all((x - y).abs().max() <= TOLERANCE * x.abs().max() for x, y in zip(self.outputs, after, strict=True))

    def _outputs(self) -> list[Tensor]:
        with torch.no_grad(), batch_statistics(self.random):
            return [self.random(self.inputs, selection) for selection in self.selections]

    def _covering_selections(self) -> list[dict[str, Option]]:
        """Return members with the largest sizes that together reach every elastic layer, and some more."""
        largest = self._largest_options()
        unseen = set(self.layers)
        selections: list[dict[str, Option]] = []
        inputs = self.bare.space.example(2, "meta")
        for i, arch in enumerate(self.bare.space.showcase(N_RANDOM)):
            selection = {**arch, **{name: largest[name] for name in arch if name in largest}}
            with torch.no_grad(), calling(Call(selection, shapes_only=True)) as call:
                inputs.call(self.bare.net)
            reached = {path for path, layer in self.layers.items() if layer in call.widths}
            if (i < N_RANDOM or reached & unseen) and selection not in selections:
                selections.append(selection)
            unseen -= reached
        return selections

    def _largest_options(self) -> dict[str, Option]:
        found: dict[str, Option] = {}
        for layer in self.layers.values():
            for argument, name in layer.names.items():
                size = layer.size_choices[argument]
                # The resolution does not matter, except for the time it takes.
                pick = min if isinstance(layer, ElasticResize) else max
                found[name] = pick(size.options, key=lambda o, s=size, n=layer.n_in: s.value(o, n))  # type: ignore[misc]
        return found
