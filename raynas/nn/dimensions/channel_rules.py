"""Rules of operations that split, move or gather channels: shuffles, gates, extremes, norms of weights."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from raynas.nn.dimensions.expressions import Dimension, cut, factors, fixed, freeze, product, take, unify
from raynas.nn.dimensions.registry import rule
from raynas.nn.dimensions.tensor_rules import pointwise
from raynas.nn.dimensions.tracing import Trace

SHUFFLED = "it numbers parts that are moved elsewhere"
"""Reason why the groups of a shuffle cannot vary."""


@rule("pixel_shuffle")
def _pixel_shuffle(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    *batch, channels, height, width = trace.of(args[0])
    outer, inner = take(factors(channels), result.shape[-3])
    for dimension in (*inner, height, width):
        freeze(dimension, SHUFFLED)
    trace.put(result, [*batch, product(outer), *map(fixed, result.shape[-2:])])


@rule("pixel_unshuffle")
def _pixel_unshuffle(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    *batch, channels, height, width = trace.of(args[0])
    for dimension in (height, width):
        freeze(dimension, SHUFFLED)
    inner = fixed(result.shape[-3] // channels.size, SHUFFLED)
    trace.put(result, [*batch, product([channels, inner]), *map(fixed, result.shape[-2:])])


@rule("channel_shuffle", "native_channel_shuffle")
def _channel_shuffle(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    first, channels, *rest = trace.of(args[0])
    outer, inner = take(factors(channels), args[1])
    for dimension in outer:
        freeze(dimension, SHUFFLED)
    trace.put(result, [first, product([*inner, *outer]), *rest])


@rule("glu")
def _glu(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    dimensions = list(trace.of(args[0]))
    axis = (args[1] if len(args) > 1 else -1) % len(dimensions)
    half, gate = cut(dimensions[axis], result.shape[axis])
    unify(half, gate)
    dimensions[axis] = half
    trace.put(result, dimensions)


@rule("max", "min")
def _extreme(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    """Pass on the dimensions that are left; the one that is reduced is frozen only if the indices in it are used."""
    if isinstance(result, Tensor) and len(args) > 1:
        pointwise(trace, args, kwargs, result)
        return
    source = list(trace.of(args[0]))
    if isinstance(result, Tensor):
        for dimension in source:
            trace.mix(dimension)
        trace.put(result, [])
        return
    axis = args[1] % args[0].ndim
    trace.mix(source[axis])
    values, indices = result
    reduced: list[Dimension] = [fixed(1)] if values.ndim == args[0].ndim else []
    left = [*source[:axis], *reduced, *source[axis + 1 :]]
    trace.put(values, left)
    trace.put(indices, left)
    trace.numbers(indices, source[axis])


@rule("_weight_norm_interface")
def _weight_norm(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    """Pass on the dimensions of the direction; with fewer inputs each filter is scaled to the length that it had."""
    direction, length = trace.of(args[0]), trace.of(args[1])
    axis = (args[2] if len(args) > 2 else 0) % len(direction)
    unify(direction[axis], length[axis])
    for other, dimension in enumerate(direction):
        if other != axis:
            trace.mix(dimension)
    trace.put(result[0], direction)
    trace.put(result[1], length)


@rule("_embedding_bag", "_embedding_bag_forward_only")
def _embedding_bag(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    rows, width = trace.of(args[0])
    freeze(rows, "its rows are looked up by number")
    bags, *others = result
    trace.put(bags, [fixed(len(bags)), width])
    for other in others:
        trace.put(other, [fixed(size) for size in other.shape])
