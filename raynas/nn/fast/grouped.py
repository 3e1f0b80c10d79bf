"""The mixed operation on a GPU, in fewer operations of it, each of which costs a launch.

Steps that depend on the input alone are computed once for all edges from a state, the weighted sum is one product of a
matrix, and the counters and shared statistics of batch norms are updated once in a forward pass.
"""

from collections.abc import Sequence
from functools import partial, reduce
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raynas.nn.fast.layer_kinds import (
    Candidate,
    is_batch_normalisation,
    is_image,
    is_plain,
    layers_of,
    may_change_input,
    step_without_parameters,
)
from raynas.nn.fast.memo import Memo
from raynas.nn.fast.running_statistics import moves


def through(candidate: Candidate, x: Tensor, memo: Memo) -> Tensor:
    """Return the output of a candidate for ``x``, sharing with others what depends on ``x`` alone."""
    value, is_shared = x, True
    for layer in layers_of(candidate):
        if not is_image(value):
            value, is_shared = layer(value), False
        elif is_shared and (step := step_without_parameters(layer)):
            value = memo.get(value, step[0], layer)
        elif is_shared and is_batch_normalisation(layer) and (moves(layer) or layer.running_mean is None):
            value, moments = memo.get(value, ("norm", layer.eps), partial(_normalised, eps=layer.eps))
            if moves(layer):
                memo.statistics.move(layer, *moments.unbind())
        elif is_plain(layer, nn.BatchNorm2d) and moves(layer):
            momentum = cast(float, layer.momentum)
            value = F.batch_norm(
                value, layer.running_mean, layer.running_var, layer.weight, layer.bias, True, momentum, layer.eps
            )
            memo.statistics.count(layer)
            is_shared = False
        else:
            # A result of the memo is still to be read by other candidates.
            is_copied = is_shared and value is not x and may_change_input(layer)
            value, is_shared = layer(value.clone() if is_copied else value), False
    return value


def _normalised(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Normalise by the batch; return its means and unbiased variances too, ``(2, channels)``."""
    dtype = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
    moments = torch.zeros(2, x.shape[1], dtype=dtype, device=x.device)
    # With a momentum of 1, the "running" statistics are those of the batch.
    return F.batch_norm(x, moments[0], moments[1], training=True, momentum=1.0, eps=eps), moments


def weighted_sum(weights: Tensor, values: Sequence[Tensor]) -> Tensor:
    """Return the sum of ``weights[i] * values[i]`` as the product of a vector and a matrix.

    Args:
        weights: shape ``(len(values),)``.
        values: all of one shape ``(batch, channels, height, width)``.
    """
    dtype = reduce(torch.promote_types, (value.dtype for value in values))
    is_last = all(value.is_contiguous(memory_format=torch.channels_last) for value in values)
    ordered = [value.permute(0, 2, 3, 1) if is_last else value for value in values]
    with torch.autocast(values[0].device.type, enabled=False):
        rows = torch.stack([value.to(dtype) for value in ordered]).flatten(1)
        total = (weights.to(dtype)[None] @ rows).view(ordered[0].shape)
    return total.permute(0, 3, 1, 2) if is_last else total
