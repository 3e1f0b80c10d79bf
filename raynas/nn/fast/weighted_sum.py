"""Batch norm without weights, and the weighted sum of tensors that it normalises, with few activations kept.

Both work on channels-last images as matrices of shape (batch * height, width * channels), because the CPU kernels for
elementwise arithmetic and sums are slow where the innermost dimension is short, as channels alone are.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor


def normalised(y: Tensor, *, eps: float, relu: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Apply batch norm without weights, and ReLU if wanted; return mean and biased variance of each channel too."""
    return cast(tuple[Tensor, Tensor, Tensor], _Normalise.apply(y, eps, relu))


def weighted_sum(
    weights: Tensor, values: Sequence[Tensor], eps: Sequence[float | None]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sum of ``weights[i] * values[i]``; values with an ``eps`` are normalised by their batch first.

    Args:
        weights: one for each value.
        values: all of one shape ``(batch, channels, height, width)``.
        eps: added to the variance of each value; None for a value that is not normalised.

    Returns:
        The sum; mean and biased variance of each value's channels, ``(len(values), channels)``, zero without ``eps``.

    Raises:
        ValueError: if a value to be normalised has one element per channel.
    """
    return cast(tuple[Tensor, Tensor, Tensor], _WeightedSum.apply(weights, tuple(eps), *values))


class _Normalise(torch.autograd.Function):
    """Saves the input, and with ReLU the output, which the next convolution saves anyway."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, eps: float, relu: bool) -> tuple[Tensor, Tensor, Tensor]:
        _refuse_single_value(y)
        rows = _rows(y)
        mean, variance = _moments(rows, y.shape)
        scale = torch.rsqrt(variance + eps)
        out = _scaled_sum([rows], scale[None], -(mean * scale), y.shape[3])
        out = _like(out.clamp_min_(0) if relu else out, y)
        ctx.eps, ctx.relu = eps, relu
        ctx.save_for_backward(y, mean, scale, out if relu else None)
        ctx.mark_non_differentiable(mean, variance)
        ctx.set_materialize_grads(False)
        return out, mean, variance

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, None, None]:
        y, mean, scale, out = ctx.saved_tensors
        if grad is None:
            return None, None, None
        if torch.is_grad_enabled():
            normal = F.batch_norm(y, None, None, training=True, eps=ctx.eps)
            return *torch.autograd.grad(normal.relu() if ctx.relu else normal, y, grad, create_graph=True), None, None
        if ctx.relu:
            grad = torch.ops.aten.threshold_backward(grad, out, 0)
        rows, grad_rows, width = _rows(y), _wide_rows(grad), y.shape[3]
        total = _column_sum(grad_rows, width)
        projection = scale * (_column_dot(grad_rows, rows, width) - mean * total)
        by_grad, by_y, constant = _norm_gradient(scale, mean, scale, total, projection, y)
        return _like(_scaled_sum([rows, grad_rows], torch.stack([by_y, by_grad]), constant, width), y), None, None


class _WeightedSum(torch.autograd.Function):
    """The sum of ``weights[i] * values[i]``; values with an ``eps`` are normalised first.

    Saves the values. Also returns the mean and (biased) variance of each value's channels.
    """

    @staticmethod
    def forward(ctx: Any, weights: Tensor, eps: tuple[float | None, ...], *values: Tensor) -> tuple[Tensor, ...]:
        rows = [_rows(value) for value in values]
        first = values[0]
        zero = weights.new_zeros(first.shape[1], dtype=_accumulator(first))
        moments, scales = [], []
        for value, row, e in zip(values, rows, eps, strict=True):
            if e is not None:
                _refuse_single_value(value)
            mean, variance = (zero, zero) if e is None else _moments(row, value.shape)
            moments.append((mean, variance))
            scales.append(zero + 1 if e is None else torch.rsqrt(variance + e))
        means, scale = torch.stack([mean for mean, _ in moments]), torch.stack(scales)
        factors = weights.to(scale.dtype)[:, None] * scale
        out = _scaled_sum(rows, factors, -(factors * means).sum(0), first.shape[3])
        variances = torch.stack([variance for _, variance in moments])
        ctx.eps = eps
        ctx.save_for_backward(weights, means, scale, *values)
        ctx.mark_non_differentiable(means, variances)
        ctx.set_materialize_grads(False)
        dtype = reduce(torch.promote_types, (value.dtype for value in values))
        return _like(out, first, dtype), means, variances

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        weights, means, scale, *values = ctx.saved_tensors
        if grad is None:
            return (None,) * len(ctx.needs_input_grad)
        if torch.is_grad_enabled():
            return _plain_gradients(ctx, weights, values, grad)
        needs_weights, _, *needs_value = ctx.needs_input_grad
        grad_rows, width = _wide_rows(grad), grad.shape[3]
        total = _column_sum(grad_rows, width)
        grad_weights = torch.zeros_like(weights)
        grads: list[Tensor | None] = []
        for i, value in enumerate(values):
            rows, norm = _rows(value), ctx.eps[i] is not None
            factor = weights[i].to(scale.dtype) * scale[i]
            by_y, constant, terms = None, torch.zeros_like(total), [grad_rows]
            if needs_weights or (norm and needs_value[i]):
                projection = scale[i] * (_column_dot(grad_rows, rows, width) - means[i] * total)
                grad_weights[i] = projection.sum()
                if norm:
                    factor, by_y, constant = _norm_gradient(factor, means[i], scale[i], total, projection, value)
                    terms = [rows, grad_rows]
            factors = factor[None] if by_y is None else torch.stack([by_y, factor])
            grads.append(_like(_scaled_sum(terms, factors, constant, width), value) if needs_value[i] else None)
        return grad_weights if needs_weights else None, None, *grads


def _plain_gradients(ctx: Any, weights: Tensor, values: Sequence[Tensor], grad: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradients by PyTorch's formulas, which are differentiable."""
    # Views, as these are partial derivatives: a value may depend on the same weights.
    weights, values = weights.view_as(weights), [value.view_as(value) for value in values]
    normal = [
        v if e is None else F.batch_norm(v, None, None, training=True, eps=e)
        for v, e in zip(values, ctx.eps, strict=True)
    ]
    out = cast(Tensor, sum(w * v for w, v in zip(weights.unbind(), normal, strict=True)))
    inputs = (weights, None, *values)
    wanted = [i for i, needed in enumerate(ctx.needs_input_grad) if needed]
    found = torch.autograd.grad(out, [cast(Tensor, inputs[i]) for i in wanted], grad, create_graph=True)
    grads = dict(zip(wanted, found, strict=True))
    return tuple(grads.get(i) for i in range(len(inputs)))


def _norm_gradient(
    factor: Tensor, mean: Tensor, scale: Tensor, total: Tensor, projection: Tensor, y: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a, b, c of each channel in the gradient of batch norm for its input ``y``, ``a * grad + b * y + c``.

    Args:
        factor: weight of the normalised values times ``scale``.
        mean: of ``y``.
        scale: one over the standard deviation of ``y``.
        total: sum of the incoming gradient.
        projection: sum of the incoming gradient times the normalised values.
        y: the input.
    """
    count = y.numel() // y.shape[1]
    by_y = -factor * scale * projection / count
    return factor, by_y, -factor * total / count - mean * by_y


def _refuse_single_value(y: Tensor) -> None:
    if y.numel() == y.shape[1]:
        raise ValueError(f"batch norm needs more than one value per channel, got an input of shape {tuple(y.shape)}")


def _rows(x: Tensor) -> Tensor:
    return x.detach().permute(0, 2, 3, 1).reshape(x.shape[0] * x.shape[2], x.shape[3] * x.shape[1])


def _wide_rows(x: Tensor) -> Tensor:
    """Return the rows in the type of sums."""
    return _rows(x).to(_accumulator(x))


def _accumulator(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _like(rows: Tensor, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return rows as a tensor of the shape and type of ``x`` (or another type), in channels-last order."""
    n, channels, height, width = x.shape
    return rows.view(n, height, width, channels).permute(0, 3, 1, 2).to(dtype or x.dtype)


def _column_sum(rows: Tensor, width: int) -> Tensor:
    """Return the sum of each channel."""
    return rows.sum(0).view(width, -1).sum(0)


def _column_dot(first: Tensor, second: Tensor, width: int) -> Tensor:
    return _column_sum(first * second, width)


def _moments(rows: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance of each channel, combined from those of each column."""
    rows = rows.to(_accumulator(rows))
    means, variances = torch.batch_norm_update_stats(rows[:, :, None, None], None, None, 0.0)
    means, variances = means.view(shape[3], -1), variances.view(shape[3], -1)
    return means.mean(0), variances.mean(0) + means.var(0, unbiased=False)


def _scaled_sum(terms: Sequence[Tensor], factors: Tensor, constant: Tensor, width: int) -> Tensor:
    """Return the sum of ``factors[i] * terms[i]`` and ``constant``; both hold a number for each channel."""
    rows = torch.cat([factors, constant[None]])[:, None, :].expand(-1, width, -1).flatten(1)
    *scales, offset = rows.unbind()
    out = torch.addcmul(offset, terms[0], scales[0])
    for term, scale in zip(terms[1:], scales[1:], strict=True):
        out.addcmul_(term, scale)
    return out
