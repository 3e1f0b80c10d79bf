"""The order of channels in a supernet: the important ones first, as narrower subnets keep the first ones.

After Cai et al., "Once-for-All" (ICLR 2020, arXiv:1908.09791): before widths become elastic, the channels of a layer
are sorted by the L1 norm of the weights that read them, which changes nothing about the widest network.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.nn.batch_statistics import batch_statistics
from raynas.nn.elastic import ElasticLayer, Size
from raynas.nn.elastic_layers import (
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticLinear,
    ElasticResize,
    ElasticSqueezeExcite,
)
from raynas.nn.selection import Call, calling
from raynas.nn.supernet import Supernet

_WIDTHS = ("out_channels", "out_features")

Slots = Sequence[tuple[str, int]]
"""Where channels lie: names of tensors in a layer, and the dimension."""


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are numbered together.

    Args:
        decision: which decides how many of them there are.
        producers: the paths of the elastic layers that put them out, in ``supernet.net``.
        followers: the paths of the elastic layers that they come into.
        n_channels: the most there can be.
    """

    decision: str
    producers: tuple[str, ...]
    followers: tuple[str, ...]
    n_channels: int


def channel_groups(supernet: Supernet) -> list[ChannelGroup]:
    """The channels of elastic width whose order can be changed without changing the widest network.

    Which layers they reach is found by making one layer narrower and looking whose input becomes narrower with it. If
    that network cannot run, as where outputs are added to others, all equally wide layers of the same decision are
    tried together.
    Whether the order does not matter is then tried on a copy with random weights. Left out is what fails there:
    channels that are concatenated behind others, flattened, regrouped, returned by the network, or read by an operation
    of the user's that tells them apart, and those that reach an elastic layer of a kind not known here or a grouped
    convolution with more than one channel in a group.

    Args:
        supernet: whose layers they are; left as it is.
    """
    finder, producers = _Finder(supernet), _producers(supernet)
    alone = finder.groups((decision, [path]) for decision, paths in producers.items() for path in paths)
    found = {path for group in alone for path in group.producers}
    rest = {decision: [path for path in paths if path not in found] for decision, paths in producers.items()}
    return alone + finder.groups(
        (decision, some) for decision, paths in rest.items() for some in finder.equally_wide(paths) if len(some) > 1
    )


def sort_channels(
    supernet: Supernet,
    groups: Sequence[ChannelGroup],
    trained: Mapping[str, Sequence[Option]],
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """Put the channels of each group in the order of their importance, in place; the widest network stays the same.

    Importance is the L1 norm of the weights by which convolutions and linear layers read a channel.

    Args:
        supernet: whose weights are put in order.
        groups: from ``channel_groups``.
        trained: by decision, options that subnets were trained with before: as many channels as each of these has stay
            in front, so that these subnets stay the same too. None for a decision that is not named.
        optimizer: of the weights; what it remembers of them is put in the same order.
    """
    layers = _layers(supernet)
    for group in groups:
        scores = torch.stack([score for score in _scores(layers, group)]).sum(0)
        bounds = _bounds(layers[group.producers[0]], group, trained.get(group.decision, ()))
        _permute(layers, group, _descending(scores, bounds), optimizer)


def _scores(layers: Mapping[str, ElasticLayer], group: ChannelGroup) -> Iterator[Tensor]:
    """How strongly each layer reads the channels."""
    for path in group.followers:
        layer = layers[path]
        if _is_reader(layer):
            weight = layer.shared.get_parameter("weight").detach().abs()
            yield weight.transpose(0, 1).flatten(1).sum(1)[: group.n_channels]


def _bounds(producer: ElasticLayer, group: ChannelGroup, options: Sequence[Option]) -> list[int]:
    """Numbers of channels that stay in front; ends with all."""
    size = next(size for argument, size in producer.size_choices.items() if argument in _WIDTHS)
    widths = {size.value(option, producer.n_in) for option in options}
    return sorted(widths | {group.n_channels})


def _descending(scores: Tensor, bounds: Sequence[int]) -> Tensor:
    """The order in which scores fall between one bound and the next."""
    parts, start = [], 0
    for end in bounds:
        parts.append(start + scores[start:end].argsort(descending=True, stable=True))
        start = end
    return torch.cat(parts)


def _permute(
    layers: Mapping[str, ElasticLayer],
    group: ChannelGroup,
    order: Tensor,
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    for path in group.producers:
        _reorder(layers[path], _OUTPUTS, order, optimizer)
    for path in group.followers:
        _reorder(layers[path], _inputs(layers[path]) or (), order, optimizer)


def _reorder(layer: ElasticLayer, slots: Slots, order: Tensor, optimizer: torch.optim.Optimizer | None) -> None:
    tensors = {**dict(layer.shared.named_parameters()), **dict(layer.shared.named_buffers())}
    for name, dim in slots:
        tensor = tensors.get(name)
        if tensor is None:  # No bias, or no affine weights.
            continue
        state = optimizer.state.get(tensor, {}) if optimizer else {}
        alike = [t for t in state.values() if isinstance(t, Tensor) and t.shape == tensor.shape]
        for each in (tensor.data, *alike):
            part = each.narrow(dim, 0, len(order))  # A reader may have room for more channels than come from here.
            part.copy_(part.index_select(dim, order.to(part.device)))


_OUTPUTS: Slots = (("weight", 0), ("bias", 0))


def _inputs(layer: ElasticLayer) -> Slots | None:
    """Where the channels that come into a layer lie in it; None if their order cannot be changed."""
    if _is_reader(layer):
        return (("weight", 1),)
    if isinstance(layer, ElasticConv2d) and layer.group_width == 1 and not layer.fixed.get("out_channels", 1):
        return _OUTPUTS
    if type(layer) is ElasticBatchNorm2d:
        return (*_OUTPUTS, ("running_mean", 0), ("running_var", 0))
    if type(layer) is ElasticSqueezeExcite:
        return ("squeeze.weight", 1), ("excite.weight", 0), ("excite.bias", 0)
    return None


def _is_reader(layer: ElasticLayer) -> bool:
    """Whether it mixes the channels that come in, so that their order ends there."""
    return type(layer) is ElasticLinear or (isinstance(layer, ElasticConv2d) and not layer.group_width)


def _layers(supernet: Supernet) -> dict[str, ElasticLayer]:
    return {path: layer for path, layer in supernet.net.named_modules() if isinstance(layer, ElasticLayer)}


def _producers(supernet: Supernet) -> dict[str, list[str]]:
    """By decision, the paths of the layers whose output width it is."""
    found: dict[str, list[str]] = {}
    for path, layer in _layers(supernet).items():
        for argument, name in layer.names.items():
            if argument in _WIDTHS and _is_reader(layer):
                found.setdefault(name, []).append(path)
    return found


class _Finder:
    """Finds the group of a layer, on a copy without values for widths and one with random values for outputs.

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
        self.selections = self._covering()
        for layer in _layers(self.bare).values():
            if not isinstance(layer, ElasticResize):
                _fix_sizes(layer, layer.largest)
        self.images = torch.randn(2, *space.input_shape, generator=self.generator)
        self.before = self._outputs()
        self.widest = self._widths()

    def equally_wide(self, producers: Sequence[str]) -> Sequence[list[str]]:
        """The producers, those with the same most channels together."""
        by_width: dict[int, list[str]] = {}
        for path in producers:
            largest = _layers(self.bare)[path].largest
            by_width.setdefault(next(largest[name] for name in _WIDTHS if name in largest), []).append(path)
        return list(by_width.values())

    def groups(self, sought: Iterable[tuple[str, Sequence[str]]]) -> list[ChannelGroup]:
        """The channels of decisions and producers whose order can be changed."""
        return self._free([group for decision, paths in sought if (group := self._group(decision, paths))])

    def _group(self, decision: str, producers: Sequence[str]) -> ChannelGroup | None:
        """The channels that these layers put out, if all that they reach can be put in order."""
        layers = _layers(self.bare)
        sizes = [layers[path].largest for path in producers]
        argument = next(name for name in _WIDTHS if name in sizes[0])
        n_channels = sizes[0][argument]
        if n_channels == 1 or any(size[argument] != n_channels for size in sizes):
            return None
        followers = self._followers(producers, argument, n_channels)
        group = ChannelGroup(decision, tuple(producers), tuple(followers), n_channels)
        readable = any(_is_reader(layers[path]) for path in followers)
        known = all(_inputs(layers[path]) for path in followers)
        return group if readable and known else None

    def _followers(self, producers: Sequence[str], argument: str, n_channels: int) -> list[str]:
        """The layers that become narrower with these; none if the network cannot run so."""
        layers = _layers(self.bare)
        for path in producers:
            _fix_sizes(layers[path], {**layers[path].largest, argument: n_channels - 1})
        try:
            widths = self._widths()
        except (RuntimeError, ValueError):
            return []
        finally:
            for path in producers:
                _fix_sizes(layers[path], layers[path].largest)
        return [path for path, width in self.widest.items() if widths[path] == width - 1]

    def _free(self, groups: list[ChannelGroup]) -> list[ChannelGroup]:
        """Those of which another order of the channels leaves what the network computes the same."""
        if not groups or self._same_in_other_order(groups):
            return groups
        half = len(groups) // 2
        return self._free(groups[:half]) + self._free(groups[half:]) if half else []

    def _same_in_other_order(self, groups: Sequence[ChannelGroup]) -> bool:
        layers = _layers(self.random)
        orders = [torch.randperm(group.n_channels, generator=self.generator) for group in groups]
        for group, order in zip(groups, orders, strict=True):
            _permute(layers, group, order)
        after = self._outputs()
        for group, order in zip(reversed(groups), reversed(orders), strict=True):
            _permute(layers, group, order.argsort())
        return all((x - y).abs().max() <= TOLERANCE * x.abs().max() for x, y in zip(self.before, after, strict=True))

    def _outputs(self) -> list[Tensor]:
        with torch.no_grad(), batch_statistics(self.random):
            return [self.random(self.images, selection) for selection in self.selections]

    def _widths(self) -> dict[str, int]:
        """How many channels come into each layer."""
        paths: dict[nn.Module, str] = {layer: path for path, layer in _layers(self.bare).items()}
        images = self.bare.space.example_input(2, "meta")
        widths: dict[str, int] = {}
        for selection in self.selections:
            with torch.no_grad(), calling(Call(selection, shapes_only=True)) as call:
                self.bare.net(images)
            widths |= {paths[layer]: width for layer, width in call.widths.items()}
        return widths

    def _covering(self) -> list[dict[str, Option]]:
        """Members with all sizes at their largest that together reach every elastic layer, and some more."""
        largest = self._largest_options()
        unseen = set(_layers(self.bare))
        selections: list[dict[str, Option]] = []
        images = self.bare.space.example_input(2, "meta")
        for i, arch in enumerate(self.bare.space.showcase(N_MORE)):
            selection = {**arch, **{name: largest[name] for name in arch if name in largest}}
            with torch.no_grad(), calling(Call(selection, shapes_only=True)) as call:
                self.bare.net(images)
            reached = {path for path, layer in _layers(self.bare).items() if layer in call.widths}
            if (i < N_MORE or reached & unseen) and selection not in selections:
                selections.append(selection)
            unseen -= reached
        return selections

    def _largest_options(self) -> dict[str, Option]:
        found: dict[str, Option] = {}
        for layer in _layers(self.bare).values():
            for argument, name in layer.names.items():
                size: Size = layer.size_choices[argument]
                # The resolution does not matter, except for how long it takes.
                pick = min if isinstance(layer, ElasticResize) else max
                found[name] = pick(size.options, key=lambda o, s=size, n=layer.n_in: s.value(o, n))  # type: ignore[misc]
        return found


TOLERANCE = 1e-3
"""How far outputs may differ, relative to the largest: sums in another order round differently."""

N_MORE = 3
"""How many random members are tried besides those that are needed to reach every layer."""


def _fix_sizes(layer: ElasticLayer, sizes: Mapping[str, int]) -> None:
    """Let a layer have these sizes, whatever is selected."""
    layer.sizes = lambda options, n_in: dict(sizes)  # type: ignore[method-assign]
