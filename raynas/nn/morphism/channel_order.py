"""The order of channels in a supernet: the important ones first, as narrower subnets keep the first ones.

After Cai et al., "Once-for-All" (ICLR 2020, arXiv:1908.09791): before widths become elastic, the channels of a layer
are sorted by the L1 norm of the weights that read them, which changes nothing about the widest network.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.nn.morphism.elastic_channels import WIDTHS, ChannelGroup, elastic_layers
from raynas.nn.supernet import Supernet


def sort_channels(
    supernet: Supernet,
    groups: Sequence[ChannelGroup],
    trained: Mapping[str, Sequence[Option]],
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """Sort the channels of each group by their importance, in place; the widest network stays the same.

    Importance is the L1 norm of the weights by which convolutions and linear layers read a channel.

    Args:
        supernet: its weights are sorted.
        groups: from ``channel_groups``.
        trained: by decision, options with which subnets were trained before: the channels that each of them has stay in
            front, so that these subnets stay the same too. Nothing to keep for a decision that is not named.
        optimizer: of the weights; its state is put in the same order.
    """
    layers = elastic_layers(supernet)
    for group in groups:
        producer = layers[group.producers[0]]
        size = next(size for argument, size in producer.size_choices.items() if argument in WIDTHS)
        widths = {size.value(option, producer.n_in) for option in trained.get(group.decision, ())}
        bounds = sorted(widths | {group.n_channels})
        _reorder(supernet.net, group, _descending(_importance(supernet.net, group), bounds), optimizer)


def _importance(net: nn.Module, group: ChannelGroup) -> Tensor:
    """Return the importance of each channel, shape ``(n_channels,)``."""
    weights = [net.get_parameter(name).detach().abs() for name in group.readers]
    return torch.stack([weight.transpose(0, 1).flatten(1).sum(1)[: group.n_channels] for weight in weights]).sum(0)


def _descending(scores: Tensor, bounds: Sequence[int]) -> Tensor:
    """Return the order in which scores fall between one bound and the next."""
    parts, start = [], 0
    for end in bounds:
        parts.append(start + scores[start:end].argsort(descending=True, stable=True))
        start = end
    return torch.cat(parts)


def _reorder(
    net: nn.Module, group: ChannelGroup, order: Tensor, optimizer: torch.optim.Optimizer | None = None
) -> None:
    """Put the channels of a group into another order, in place.

    Args:
        net: holds the tensors.
        group: the channels.
        order: index of the channel that moves to each position, shape ``(n_channels,)``.
        optimizer: of the weights; its state is put in the same order.
    """
    tensors: Mapping[str, Tensor] = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    for name, axis in group.slots:
        tensor = tensors[name]
        state = optimizer.state.get(tensor, {}) if optimizer else {}
        alike = [t for t in state.values() if isinstance(t, Tensor) and t.shape == tensor.shape]
        for each in (tensor.data, *alike):
            part = each.narrow(axis, 0, len(order))
            part.copy_(part.index_select(axis, order.to(part.device)))
