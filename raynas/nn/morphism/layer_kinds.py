"""ChannelGroup: channels that several layers of a network share, and the tensors of a layer that hold them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
Norm = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)
"""Normalisations that treat each channel separately."""


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are numbered together: what is done to them in one layer has to be done in all.

    Args:
        producers: dotted paths of the layers whose outputs they are.
        consumers: dotted paths of the layers whose inputs they are; for those that work on each channel separately,
            such as a batch norm, their outputs too.
        n_channels: their number, in a supernet the largest one.
        decision: name of the decision on their number, in a supernet.
    """

    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    n_channels: int
    decision: str | None = None


Slots = Sequence[tuple[str, int]]
"""Position of channels in a layer: names of tensors, each with the dimension of the channels."""

OUTPUT_SLOTS: Slots = (("weight", 0), ("bias", 0))
"""Slots of the output channels of a convolution or linear layer."""

INPUT_SLOTS: Slots = (("weight", 1),)
"""Slots of the input channels of a convolution without groups or a linear layer."""

NORM_SLOTS: Slots = (*OUTPUT_SLOTS, ("running_mean", 0), ("running_var", 0))
"""Slots of the channels of a batch or instance norm."""


def is_depthwise(module: nn.Module) -> bool:
    """Return whether a module is a convolution with groups; only depthwise ones can be followed."""
    return isinstance(module, Conv) and module.groups > 1


def consumer_slots(layer: nn.Module) -> Slots | None:
    """Return the slots of the input channels of a layer; None if it is of another kind."""
    if isinstance(layer, Norm):
        return NORM_SLOTS
    if is_depthwise(layer):
        return OUTPUT_SLOTS
    return INPUT_SLOTS if isinstance(layer, (*Conv, nn.Linear)) else None


def reorder(layer: nn.Module, slots: Slots, order: Tensor, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Put the first channels of a layer into another order, in place.

    Args:
        layer: holds the tensors; those that it lacks, such as a bias, are skipped.
        slots: of the channels.
        order: index of the channel that moves to each position, shape ``(n,)``; channels from ``n`` on stay.
        optimizer: of the weights; its state is put in the same order.
    """
    tensors: Mapping[str, Tensor] = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    for name, dim in slots:
        tensor = tensors.get(name)
        if tensor is None:
            continue
        state = optimizer.state.get(tensor, {}) if optimizer else {}
        alike = [t for t in state.values() if isinstance(t, Tensor) and t.shape == tensor.shape]
        for each in (tensor.data, *alike):
            part = each.narrow(dim, 0, len(order))
            part.copy_(part.index_select(dim, order.to(part.device)))
