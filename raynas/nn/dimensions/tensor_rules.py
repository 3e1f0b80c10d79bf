"""Rules of operations on tensors of any meaning: shapes, indices, products of matrices, reductions."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from raynas.nn.dimensions.expressions import Dimension, cut, factors, fixed, freeze, product, take, total, unify
from raynas.nn.dimensions.registry import rule
from raynas.nn.dimensions.tracing import Trace, tensors_in


@rule(
    "copy",
    "fill",
    "masked_fill",
    "where",
    "lift_fresh",
    "clone",
    "detach",
    "alias",
    "_to_copy",
    "contiguous",
    "native_dropout",
    "hardswish",
    "gelu",
    "mish",
    "bernoulli",
    "_prelu_kernel",
    "log_sigmoid_forward",
)
def pointwise(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    """Tie dimensions that are aligned from the last one on; a single index that is broadcast to many stays single."""
    out = next(tensors_in(result))
    dimensions: list[Dimension] = [fixed(size) for size in out.shape]
    for i, size in enumerate(out.shape):
        back = out.ndim - i
        aligned = [trace.of(t)[t.ndim - back] for t in tensors_in((args, kwargs)) if t.ndim >= back]
        equal = [dimension for dimension in aligned if dimension.size == size]
        if equal:
            dimensions[i] = equal[0]
            for other in equal[1:]:
                unify(equal[0], other)
        for dimension in aligned:
            if dimension.size != size:
                freeze(dimension, "it is broadcast")
    for tensor in tensors_in(result):
        if tensor.shape == out.shape:
            trace.put(tensor, dimensions)


@rule("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like")
def _like(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    trace.put(result, trace.of(args[0]))


@rule("new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided")
def _new(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    trace.put_free(result)


@rule("view", "_unsafe_view", "reshape", "_reshape_copy", "view_copy", "_reshape_alias", "squeeze", "unsqueeze")
def _view(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    if args[0].numel() == 0:
        trace.give_up("view of nothing", args, result)
        return
    rest = [factor for dimension in trace.of(args[0]) for factor in factors(dimension)]
    dimensions = []
    for size in result.shape:
        taken, rest = take(rest, size)
        dimensions.append(product(taken))
    trace.put(result, dimensions)


@rule("expand")
def _expand(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    source, new = trace.of(args[0]), result.ndim - args[0].ndim
    kept = [i >= new and source[i - new].size == size for i, size in enumerate(result.shape)]
    trace.put(result, [source[i - new] if keep else fixed(result.shape[i]) for i, keep in enumerate(kept)])


@rule("repeat")
def _repeat(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    x, times = args[0], args[1]
    source = [*map(fixed, (1,) * (len(times) - x.ndim)), *trace.of(x)]
    trace.put(result, [product([fixed(n), d]) if n != 1 else d for n, d in zip(times, source, strict=True)])


@rule("t", "transpose", "permute", "numpy_T", "movedim")
def _permute(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    source = list(trace.of(args[0]))
    n = len(source)
    if len(args) == 1:
        order = list(range(n))[::-1]
    elif len(args) == 3:
        order = list(range(n))
        a, b = args[1] % n, args[2] % n
        order[a], order[b] = b, a
    else:
        order = [i % n for i in args[1]]
    trace.put(result, [source[i] for i in order])


@rule("as_strided")
def _strided(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    """Pass on the dimensions of a tensor whose layout alone changes, as after a global pool."""
    if result.shape == args[0].shape and trace.knows(args[0]):
        trace.put(result, trace.of(args[0]))
    else:
        trace.give_up("as_strided", args, result)


@rule("index", "_unsafe_index")
def _index(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    """Freeze the dimensions that are looked up by number; the others follow or surround those of the numbers."""
    x, given = args
    indices = [*given, *[None] * (x.ndim - len(given))]
    axes = [axis for axis, index in enumerate(indices) if index is not None]
    if any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices):
        trace.give_up("index by a mask", args, result)
        return
    source = trace.of(x)
    for axis in axes:
        freeze(source[axis], "its indices are looked up by number")
    n_looked_up = max(indices[axis].ndim for axis in axes)
    looked_up = result.ndim - (x.ndim - len(axes))
    assert looked_up == n_looked_up
    first = axes[0] if axes[-1] - axes[0] == len(axes) - 1 else 0
    left = [dimension for axis, dimension in enumerate(source) if axis not in axes]
    sizes = result.shape[first : first + looked_up]
    trace.put(result, [*left[:first], *map(fixed, sizes), *left[first:]])


@rule("select")
def _select(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    source = list(trace.of(args[0]))
    freeze(source.pop(args[1] % len(source)), "one index of it is selected")
    trace.put(result, source)


@rule("slice")
def _slice(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    x, axis, start, _, step = (*args, *(None,) * 5)[:5]
    axis = (axis or 0) % x.ndim
    source = list(trace.of(x))
    size = source[axis].size
    if result.shape[axis] != size:
        first = (start or 0) if (start or 0) >= 0 else size + start
        if step not in (None, 1) or result.shape[axis] == 0:
            freeze(source[axis], "a slice with steps")
            source[axis] = fixed(result.shape[axis])
        else:
            source[axis] = cut(cut(source[axis], first)[1], result.shape[axis])[0]
    trace.put(result, source)


@rule("split", "split_with_sizes", "chunk", "unsafe_split", "unsafe_chunk")
def _split(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    axis = (args[2] if len(args) > 2 else kwargs.get("dim", 0)) % args[0].ndim
    source, rest, parts = list(trace.of(args[0])), trace.of(args[0])[axis], []
    for piece in result[:-1]:
        part, rest = cut(rest, piece.shape[axis])
        parts.append(part)
    parts.append(rest)
    for piece, part in zip(result, parts, strict=True):
        if part.size == parts[0].size:  # The number of parts is often what the code says, and not their sizes.
            unify(parts[0], part)
        trace.put(piece, [part if i == axis else dimension for i, dimension in enumerate(source)])


@rule("unbind")
def _unbind(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    source = list(trace.of(args[0]))
    axis = (args[1] if len(args) > 1 else 0) % len(source)
    freeze(source.pop(axis), "its indices mean different things")
    for piece in result:
        trace.put(piece, source)


@rule("cat")
def _cat(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    parts = [part for part in args[0] if part.ndim == result.ndim]
    axis = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % result.ndim
    dimensions = list(trace.of(parts[0]))
    for part in parts[1:]:
        for i, dimension in enumerate(trace.of(part)):
            if i != axis:
                unify(dimensions[i], dimension)
    dimensions[axis] = total([trace.of(part)[axis] for part in parts])
    trace.put(result, dimensions)


@rule("stack")
def _stack(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    axis = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % result.ndim
    dimensions = list(trace.of(args[0][0]))
    for part in args[0][1:]:
        for a, b in zip(dimensions, trace.of(part), strict=True):
            unify(a, b)
    trace.put(result, [*dimensions[:axis], fixed(len(args[0])), *dimensions[axis:]])


@rule("mm", "bmm")
def _matrix_product(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    a, b = trace.of(args[0]), trace.of(args[1])
    unify(a[-1], b[-2])
    if len(a) == 3:
        unify(a[0], b[0])
        trace.mix(a[-1])
    trace.put(result, [*a[:-1], b[-1]])


@rule("addmm", "baddbmm")
def _matrix_product_and_bias(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    _matrix_product(trace, args[1:], kwargs, result)
    pointwise(trace, (args[0], result), {}, result)


@rule("mv", "dot")
def _vector_product(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    unify(trace.of(args[0])[-1], trace.of(args[1])[0])
    trace.put(result, trace.of(args[0])[:-1])


@rule("_softmax", "_log_softmax", "_safe_softmax")
def _softmax(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    trace.mix(trace.of(args[0])[args[1]])
    trace.put(result, trace.of(args[0]))


@rule("roll", "flip", "cumsum")
def _ordered(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    axes = args[2] if len(args) > 2 else args[1]
    for axis in axes if isinstance(axes, Sequence) else (axes,):
        freeze(trace.of(args[0])[axis], "its indices have an order")
    trace.put(result, trace.of(args[0]))


@rule("mean", "sum", "amax", "amin", "var", "std", "var_mean", "std_mean", "linalg_vector_norm", "norm", "any", "all")
def _reduction(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    """Pass on the dimensions that are left: those whose size is in the result, in order."""
    for out in tensors_in(result):
        given = next((a for a in (*args[1:], kwargs.get("dim")) if isinstance(a, list | tuple)), ())
        axes = [axis % args[0].ndim for axis in given or range(args[0].ndim)]
        for axis in axes:
            trace.mix(trace.of(args[0])[axis])
        left = [d for i, d in enumerate(trace.of(args[0])) if i not in axes]
        if out.ndim == args[0].ndim:
            left = [fixed(1) if i in axes else d for i, d in enumerate(trace.of(args[0]))]
        if [d.size for d in left] == list(out.shape):
            trace.put(out, left)
        else:
            trace.give_up("reduction", args, out)


@rule("constant_pad_nd", "reflection_pad2d", "replication_pad2d", "reflection_pad1d", "replication_pad1d")
def _pad(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    dimensions = list(trace.of(args[0]))
    for i, size in enumerate(result.shape):
        if any(args[1][2 * (result.ndim - 1 - i) :][:2]):
            freeze(dimensions[i], "it is padded")
            dimensions[i] = fixed(size)
    trace.put(result, dimensions)
