"""The weighted sum of candidate modules on one input (DARTS's mixed operation), in less time and memory.

The mathematics is that of ``sum(w * module(x))``, gradients and running statistics included. What is saved:

- steps that depend on the input alone (ReLU, pooling, the batch norm behind it) are computed once for all candidates,
  and with a ``Memo`` once for all edges from one state;
- the last batch norm of each candidate and the sum are one step, which keeps only the batch norms' inputs;
- on a CPU, depthwise convolutions and pooling run in forms that have fast kernels, in channels-last order;
- on a GPU, see ``raynas.nn.fast.grouped``.

Reference for the mixed operation: Liu et al., "DARTS", ICLR 2019, arXiv:1806.09055.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar, cast

import torch
from torch import Tensor

from raynas.nn.fast import grouped
from raynas.nn.fast.candidate_path import CandidatePath, update_running_statistics
from raynas.nn.fast.layer_kinds import Candidate
from raynas.nn.fast.memo import Memo
from raynas.nn.fast.weighted_sum import weighted_sum

_Result = TypeVar("_Result")


def mixed(
    candidates: Sequence[Candidate], weights: Tensor, x: Tensor, memo: Memo | None = None, *, fused: bool = True
) -> Tensor:
    """Return the sum of ``weights[i] * candidates[i](x)``.

    No candidate may change ``x``, which the others read too. Candidates that are an ``nn.Sequential`` are looked into;
    others are called as they are, and so are those with hooks. Second derivatives work, by PyTorch's own formulas, and
    are slow.

    Args:
        candidates: their outputs must have equal shapes.
        weights: ``(len(candidates),)``.
        x: the input of each; anything but a batch of images takes the plain path.
        memo: shares results with other calls in the same forward pass.
        fused: False to call and weight each candidate in turn.

    Raises:
        ValueError: if there is no candidate or not one weight for each, if outputs differ in shape, or if a
            candidate changes ``x`` in place.
    """
    if not candidates or weights.shape != (len(candidates),):
        raise ValueError(f"need one weight for each of {len(candidates)} >= 1 candidates, got {tuple(weights.shape)}")
    if fused and x.dim() == 4 and x.device.type not in ("cpu", "meta"):
        return _grouped(candidates, weights, x, memo)
    # With a batch of 1, which is no format in particular, torch gets gradients wrong if they are to be differentiated.
    if not fused or x.dim() != 4 or len(x) == 1 or x.device.type != "cpu":
        return _plain_sum(weights, _each_computed(candidates, x, lambda candidate: candidate(x)))
    memo = Memo() if memo is None else memo
    x = memo.get(x, "channels last", partial(torch.Tensor.contiguous, memory_format=torch.channels_last))
    paths = _each_computed(candidates, x, lambda candidate: CandidatePath(x, memo).through(candidate))
    values, norms = [path.value for path in paths], [path.pending_norm for path in paths]
    _check_equal_shapes(values)
    if values[0].dim() != 4:
        return _plain_sum(weights, values)
    out, means, variances = weighted_sum(weights, values, [None if norm is None else norm.eps for norm in norms])
    for norm, mean, variance in zip(norms, means, variances, strict=True):
        if norm is not None:
            update_running_statistics(norm, mean, variance, out)
    return out


def _grouped(candidates: Sequence[Candidate], weights: Tensor, x: Tensor, memo: Memo | None) -> Tensor:
    """Return the sum in few operations of a GPU."""
    shared = Memo() if memo is None else memo
    values = _each_computed(candidates, x, lambda candidate: grouped.through(candidate, x, shared))
    if memo is None:
        shared.finish()
    _check_equal_shapes(values)
    if len(values) == 1 or values[0].dim() != 4:
        return _plain_sum(weights, values)
    return grouped.weighted_sum(weights, values)


def _each_computed(
    candidates: Sequence[Candidate], x: Tensor, compute: Callable[[Candidate], _Result]
) -> list[_Result]:
    """Apply ``compute`` to each candidate, and refuse those that change the input of the others."""
    before = None if x.is_inference() else x._version
    results = [compute(candidate) for candidate in candidates]
    if before is not None and x._version != before:
        raise ValueError("a candidate changes its input in place, which others read too: make it inplace=False")
    return results


def _check_equal_shapes(values: Sequence[Tensor]) -> None:
    if len(shapes := {tuple(value.shape) for value in values}) > 1:
        raise ValueError(f"the outputs of candidates must have equal shapes, got {sorted(shapes)}")


def _plain_sum(weights: Tensor, values: Sequence[Tensor]) -> Tensor:
    _check_equal_shapes(values)
    return cast(Tensor, sum(weight * value for weight, value in zip(weights.unbind(), values, strict=True)))
