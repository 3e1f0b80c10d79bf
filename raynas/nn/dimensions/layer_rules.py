"""Rules of the operations that layers are made of: convolutions, norms, embeddings, pools, attention."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from raynas.nn.dimensions.expressions import POSITIONS, factors, fixed, freeze, product, take, unify
from raynas.nn.dimensions.registry import rule
from raynas.nn.dimensions.tracing import Trace, tensors_in


@rule("convolution", "_convolution")
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
    for dimension in source[2:]:
        freeze(dimension, POSITIONS)
    if bias is not None:
        unify(trace.of(bias)[0], n_out)
    trace.inputs_of[id(weight)] = source[1]
    trace.put(result, [source[0], n_out, *map(fixed, result.shape[2:])])


@rule("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "_batch_norm_no_update",
       "_batch_norm_with_update")  # fmt: skip
def _batch_norm(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    source = trace.of(args[0])
    for parameter in args[1:5]:
        if isinstance(parameter, Tensor):
            unify(source[1], trace.of(parameter)[0])
    trace.put(result[0], source)


@rule("native_layer_norm", "_fused_rms_norm", "rms_norm")
def _layer_norm(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    source, normalised = trace.of(args[0]), len(args[1])
    for dimension in source[-normalised:]:
        trace.mix(dimension)
    for parameter in args[2:4]:
        if isinstance(parameter, Tensor):
            for a, b in zip(source[-normalised:], trace.of(parameter), strict=True):
                unify(a, b)
    trace.put(next(tensors_in(result)), source)


@rule("native_group_norm")
def _group_norm(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    source = trace.of(args[0])
    for parameter in args[1:3]:
        if parameter is not None:
            unify(source[1], trace.of(parameter)[0])
    trace.mix(source[1])
    outer, _ = take(factors(source[1]), args[6])
    for dimension in outer:
        freeze(dimension, "groups of a norm")
    trace.put(result[0], source)


@rule("embedding")
def _embedding(trace: Trace, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    rows, width = trace.of(args[0])
    freeze(rows, "its rows are looked up by number")
    trace.put(result, [*trace.of(args[1]), width])


@rule(
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
    for dimension in trace.of(args[0])[2:]:
        freeze(dimension, POSITIONS)
    for out in tensors_in(result):
        kept = trace.of(args[0])[:2]
        dimensions = [d if d.size == size else fixed(size) for d, size in zip(kept, out.shape, strict=False)]
        trace.put(out, [*dimensions, *map(fixed, out.shape[2:])])


@rule(
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
    for dimension in (query[3], key[2]):
        trace.mix(dimension)
    mask = kwargs.get("attn_mask")
    if isinstance(mask, Tensor) and mask.ndim == 4 and mask.shape[1] > 1:
        unify(query[1], trace.of(mask)[1])
    first, *others = tensors_in(result)
    trace.put(first, [query[0], query[1], query[2], value[3]])
    for left in others:
        sizes = zip(left.shape, query, strict=False)
        trace.put(left, [dimension if dimension.size == size else fixed(size) for size, dimension in sizes])
