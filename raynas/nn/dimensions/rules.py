"""Operations of ATen, and the dimensions that each of them ties together."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from raynas.nn.dimensions.expressions import (
    Dimension,
    cut,
    factors,
    fixed,
    freeze,
    product,
    take,
    total,
    unify,
)
from raynas.nn.dimensions.tracing import Trace, tensors_in

Rule = Callable[[Trace, Sequence[Any], Mapping[str, Any], Any], None]

_RULES: dict[str, Rule] = {}


def apply(trace: Trace, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    """Give the results of an operation their dimensions, and tie those of its inputs."""
    name = func._schema.name.removeprefix("aten::")
    rule = _RULES.get(name) or _RULES.get(name.removesuffix("_"))
    if rule is None and torch.Tag.pointwise in func.tags:
        rule = _pointwise
    if not any(True for _ in tensors_in((args, kwargs))):
        return  # a new constant, whose dimensions are free
    if rule is None:
        trace.give_up(name, (args, kwargs), result)
    else:
        rule(trace, args, kwargs, result)


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def add(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(names, rule))
        return rule

    return add


@_rule(
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
)
def _pointwise(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    """Tie dimensions that are aligned from the last one on, where none is broadcast."""
    out = next(tensors_in(result))
    dimensions: list[Dimension] = [fixed(size) for size in out.shape]
    for i, size in enumerate(out.shape):
        back = out.ndim - i
        aligned = [
            trace.of(t)[t.ndim - back]
            for t in tensors_in((args, kwargs))
            if t.ndim >= back and t.shape[t.ndim - back] == size
        ]
        if aligned and size != 1:
            dimensions[i] = aligned[0]
            for other in aligned[1:]:
                unify(aligned[0], other)
    for tensor in tensors_in(result):
        if tensor.shape == out.shape:
            trace.put(tensor, dimensions)


@_rule("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like")
def _like(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    trace.put(result, trace.of(args[0]))


@_rule("new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided")
def _new(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    trace.of(result)  # Its sizes are free until it meets another tensor.


@_rule("view", "_unsafe_view", "reshape", "_reshape_copy", "view_copy", "_reshape_alias", "squeeze", "unsqueeze")
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


@_rule("expand")
def _expand(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    source, new = trace.of(args[0]), result.ndim - args[0].ndim
    kept = [i >= new and source[i - new].size == size for i, size in enumerate(result.shape)]
    trace.put(result, [source[i - new] if keep else fixed(result.shape[i]) for i, keep in enumerate(kept)])


@_rule("t", "transpose", "permute", "numpy_T", "movedim")
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


@_rule("as_strided")
def _strided(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    """Pass on the dimensions of a tensor whose layout alone changes, as after a global pool."""
    if result.shape == args[0].shape and trace.knows(args[0]):
        trace.put(result, trace.of(args[0]))
    else:
        trace.give_up("as_strided", args, result)


@_rule("index", "_unsafe_index")
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


@_rule("select")
def _select(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    source = list(trace.of(args[0]))
    freeze(source.pop(args[1] % len(source)), "one index of it is selected")
    trace.put(result, source)


@_rule("slice")
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


@_rule("split", "split_with_sizes", "chunk", "unsafe_split", "unsafe_chunk")
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


@_rule("unbind")
def _unbind(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    source = list(trace.of(args[0]))
    axis = (args[1] if len(args) > 1 else 0) % len(source)
    freeze(source.pop(axis), "its indices mean different things")
    for piece in result:
        trace.put(piece, source)


@_rule("cat")
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


@_rule("stack")
def _stack(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    axis = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % result.ndim
    dimensions = list(trace.of(args[0][0]))
    for part in args[0][1:]:
        for a, b in zip(dimensions, trace.of(part), strict=True):
            unify(a, b)
    trace.put(result, [*dimensions[:axis], fixed(len(args[0])), *dimensions[axis:]])


@_rule("mm", "bmm")
def _matrix_product(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    a, b = trace.of(args[0]), trace.of(args[1])
    unify(a[-1], b[-2])
    if len(a) == 3:
        unify(a[0], b[0])
    trace.put(result, [*a[:-1], b[-1]])


@_rule("addmm", "baddbmm")
def _matrix_product_and_bias(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    _matrix_product(trace, args[1:], kwargs, result)
    _pointwise(trace, (args[0], result), {}, result)


@_rule("mv", "dot")
def _vector_product(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    unify(trace.of(args[0])[-1], trace.of(args[1])[0])
    trace.put(result, trace.of(args[0])[:-1])


@_rule("convolution", "_convolution")
def _convolution(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    x, weight, bias, transposed, groups = args[0], args[1], args[2], args[6], args[8]
    source, filters = trace.of(x), trace.of(weight)
    per_group, n_out = (filters[0], filters[1]) if transposed else (filters[1], filters[0])
    if groups > 1:
        outer, inner = take(factors(source[1]), groups)
        unify(product(inner), per_group)
        if transposed:
            unify(filters[0], source[1])
            n_out = product([*outer, filters[1]])
        else:
            out_outer, _ = take(factors(filters[0]), groups)
            unify(product(outer), product(out_outer))
    else:
        unify(source[1], per_group)
    for dimension in filters[2:]:
        freeze(dimension, "kernel")
    if bias is not None:
        unify(trace.of(bias)[0], n_out)
    trace.inputs_of[id(weight)] = source[1]
    trace.put(result, [source[0], n_out, *map(fixed, result.shape[2:])])


@_rule("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "_batch_norm_no_update",
       "_batch_norm_with_update")  # fmt: skip
def _batch_norm(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    source = trace.of(args[0])
    for parameter in args[1:5]:
        if isinstance(parameter, Tensor):
            unify(source[1], trace.of(parameter)[0])
    trace.put(result[0], source)


@_rule("native_layer_norm", "_fused_rms_norm", "rms_norm")
def _layer_norm(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    source, normalised = trace.of(args[0]), len(args[1])
    for parameter in args[2:4]:
        if isinstance(parameter, Tensor):
            for a, b in zip(source[-normalised:], trace.of(parameter), strict=True):
                unify(a, b)
    trace.put(next(tensors_in(result)), source)


@_rule("native_group_norm")
def _group_norm(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    source = trace.of(args[0])
    for parameter in args[1:3]:
        if parameter is not None:
            unify(source[1], trace.of(parameter)[0])
    outer, _ = take(factors(source[1]), args[6])
    for dimension in outer:
        freeze(dimension, "groups of a norm")
    trace.put(result[0], source)


@_rule("embedding")
def _embedding(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    rows, width = trace.of(args[0])
    freeze(rows, "its rows are looked up by number")
    trace.put(result, [*trace.of(args[1]), width])


@_rule("_softmax", "_log_softmax", "cumsum", "_safe_softmax")
def _same(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    trace.put(result, trace.of(args[0]))


@_rule("roll", "flip")
def _moved(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    axes = args[2] if len(args) > 2 else args[1]
    for axis in axes:
        freeze(trace.of(args[0])[axis], "its indices are moved")
    trace.put(result, trace.of(args[0]))


@_rule("mean", "sum", "amax", "amin", "var", "std", "var_mean", "std_mean", "linalg_vector_norm", "norm", "any", "all")
def _reduction(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    """Pass on the dimensions that are left: those whose size is in the result, in order."""
    for out in tensors_in(result):
        given = next((a for a in (*args[1:], kwargs.get("dim")) if isinstance(a, list | tuple)), ())
        axes = [axis % args[0].ndim for axis in given or range(args[0].ndim)]
        left = [d for i, d in enumerate(trace.of(args[0])) if i not in axes]
        if out.ndim == args[0].ndim:
            left = [fixed(1) if i in axes else d for i, d in enumerate(trace.of(args[0]))]
        if [d.size for d in left] == list(out.shape):
            trace.put(out, left)
        else:
            trace.give_up("reduction", args, out)


@_rule("constant_pad_nd", "reflection_pad2d", "replication_pad2d", "reflection_pad1d", "replication_pad1d")
def _pad(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    dimensions = list(trace.of(args[0]))
    for i, size in enumerate(result.shape):
        if any(args[1][2 * (result.ndim - 1 - i) :][:2]):
            freeze(dimensions[i], "it is padded")
            dimensions[i] = fixed(size)
    trace.put(result, dimensions)


@_rule(
    "max_pool2d_with_indices",
    "max_pool3d_with_indices",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
    "adaptive_max_pool2d",
    "mkldnn_max_pool2d",
    "mkldnn_adaptive_avg_pool2d",
    "upsample_nearest1d",
    "upsample_nearest2d",
    "upsample_linear1d",
    "upsample_bilinear2d",
    "upsample_bicubic2d",
    "upsample_trilinear3d",
    "_upsample_bicubic2d_aa",
    "_upsample_bilinear2d_aa",
)
def _pool(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    """Keep batch and channels; all other dimensions are positions, also the second one of an input without batch."""
    for out in tensors_in(result):
        kept = trace.of(args[0])[:2]
        dimensions = [d if d.size == size else fixed(size) for d, size in zip(kept, out.shape, strict=False)]
        trace.put(out, [*dimensions, *map(fixed, out.shape[2:])])


@_rule(
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
)
def _attention(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    query, key, value = (trace.of(tensor) for tensor in args[:3])
    for other in (key, value):
        for i in (0, 3):
            unify(query[i], other[i])
        heads = other[1]
        if heads.size != query[1].size:  # several queries share a key
            heads = product([heads, fixed(query[1].size // heads.size)])
        unify(query[1], heads)
    unify(key[2], value[2])
    mask = kwargs.get("attn_mask")
    if isinstance(mask, Tensor) and mask.ndim == 4 and mask.shape[1] > 1:
        unify(query[1], trace.of(mask)[1])
    first, *others = tensors_in(result)
    trace.put(first, [query[0], query[1], query[2], value[3]])
    for left in others:
        sizes = zip(left.shape, query, strict=False)
        trace.put(left, [dimension if dimension.size == size else fixed(size) for size, dimension in sizes])
