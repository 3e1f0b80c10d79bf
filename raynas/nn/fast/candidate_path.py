"""CandidatePath: an input on its way through the layers of one candidate, each in its fast form if it has one."""

from collections.abc import Callable, Hashable
from functools import partial
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raynas.nn.fast.depthwise import depthwise_conv2d, is_dense_after_subsampling, suits
from raynas.nn.fast.layer_kinds import (
    Candidate,
    is_batch_normalisation,
    is_halving,
    is_image,
    is_plain,
    layers_of,
    may_change_input,
    step_without_parameters,
)
from raynas.nn.fast.memo import Memo
from raynas.nn.fast.pooling import subsampled
from raynas.nn.fast.weighted_sum import normalised
from raynas.nn.operations import HalvingConv

_Result = TypeVar("_Result")


class CandidatePath:
    """An input on its way through the layers of a candidate.

    Attributes:
        value: the output of the layers so far.
        pending_norm: a batch norm that is still to be applied to the value, in one step with what follows.
        is_shared: True if the value depends on the input alone, so that other candidates may use it.
    """

    def __init__(self, x: Tensor, memo: Memo) -> None:
        self.input = x
        self.value = x
        self.memo = memo
        self.pending_norm: nn.BatchNorm2d | None = None
        self.is_shared = True

    def through(self, candidate: Candidate) -> "CandidatePath":
        """Apply all layers of a candidate; a batch norm at the end stays pending."""
        for layer in layers_of(candidate):
            if self.pending_norm is not None:
                relu = is_plain(layer, nn.ReLU)
                self._normalise(self.pending_norm, relu)
                if relu:
                    continue
            if is_image(self.value) and is_batch_normalisation(layer):
                self.pending_norm = layer
                if self.is_shared:
                    self._normalise(self.pending_norm, relu=False)
            else:
                self.value = self._applied(layer)
        return self

    def _normalise(self, norm: nn.BatchNorm2d, relu: bool) -> None:
        normalise = partial(normalised, eps=norm.eps, relu=relu)
        self.value, mean, variance = self._computed(("norm", norm.eps, relu), normalise)
        update_running_statistics(norm, mean, variance, self.value)
        self.pending_norm = None

    def _computed(self, key: Hashable, compute: Callable[[Tensor], _Result]) -> _Result:
        """Return ``compute(value)`` of a step without parameters, from the memo if the value is shared."""
        return self.memo.get(self.value, key, compute) if self.is_shared else compute(self.value)

    def _applied(self, layer: Candidate) -> Tensor:
        """Return the output of a layer for the value."""
        image = is_image(self.value)
        if image and self.is_shared and (step := step_without_parameters(layer)):
            return self._computed(*step)
        if image and is_plain(layer, nn.Conv2d) and suits(layer, self.value):
            out = self._depthwise(layer)
        elif image and is_halving(layer, self.value):
            out = self._halved(layer)
        elif image and self.is_shared:
            # A result of the memo is still to be read by other candidates.
            copied = self.value is not self.input and may_change_input(layer)
            out = layer(self.value.clone() if copied else _with_ordered_gradient(self.value))
        else:
            out = layer(self.value)
        self.is_shared = False
        return out

    def _depthwise(self, conv: nn.Conv2d) -> Tensor:
        x, weight = self.value, conv.weight
        stride, padding, dilation = (cast(tuple[int, int], s) for s in (conv.stride, conv.padding, conv.dilation))
        if is_dense_after_subsampling(conv):
            step = stride[0]
            x = self._subsampled(step, 0)
            padding = (padding[0] // step, padding[1] // step)
            stride = dilation = (1, 1)
        if torch.is_autocast_enabled("cpu"):
            x, weight = (tensor.to(torch.get_autocast_dtype("cpu")) for tensor in (x, weight))
        return depthwise_conv2d(x, weight, stride=stride, padding=padding, dilation=dilation)

    def _halved(self, conv: HalvingConv) -> Tensor:
        """Compute the two convolutions of stride 2 as dense ones of every other pixel."""
        parts = [F.conv2d(self._subsampled(2, i), part.weight) for i, part in enumerate((conv.even, conv.odd))]
        return torch.cat(parts, dim=1)

    def _subsampled(self, step: int, offset: int) -> Tensor:
        return self._computed(("subsample", step, offset), partial(subsampled, step=step, offset=offset))


@torch.no_grad()
def update_running_statistics(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, out: Tensor) -> None:
    """Update the running statistics as the batch norm itself would.

    Args:
        norm: the batch norm; unchanged unless it is in train mode and has running statistics.
        mean: of the batch, shape ``(channels,)``.
        variance: of the batch, biased, shape ``(channels,)``.
        out: a tensor of the shape of its output.
    """
    if not norm.training or norm.running_mean is None or norm.running_var is None:
        return
    count = out.numel() // out.shape[1]
    factor = 0.0 if norm.momentum is None else norm.momentum
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if norm.momentum is None:
            factor = 1.0 / float(norm.num_batches_tracked)
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), factor)
    norm.running_var.lerp_((variance * (count / max(count - 1, 1))).to(norm.running_var.dtype), factor)


def _with_ordered_gradient(x: Tensor) -> Tensor:
    """Return a view whose gradient is brought into channels-last order before it is added to others."""
    view = x.view_as(x)
    if view.requires_grad:
        view.register_hook(partial(torch.Tensor.contiguous, memory_format=torch.channels_last))
    return view
