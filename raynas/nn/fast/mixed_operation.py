"""The weighted sum of candidate modules on one input (DARTS's mixed operation), in less time and memory than plainly.

The mathematics is that of ``sum(w * module(x))``, gradients and running statistics included. What is saved:

- what depends on the input alone (ReLU, pooling, the batch norm behind it) is computed once for all candidates, and
  with a ``Memo`` once for all edges from one state;
- the last batch norm of each candidate and the sum are one step, which keeps only the batch norms' inputs;
- on a CPU, depthwise convolutions and pooling run in forms that have fast kernels, in channels-last order.

Reference for the mixed operation: Liu et al., "DARTS", ICLR 2019, arXiv:1806.09055.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from typing import Any, TypeGuard, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raynas.nn.fast.depthwise import depthwise_conv2d, is_dense_after_subsampling, suits
from raynas.nn.fast.pooling import as_pair, average_pool, max_pool, subsampled
from raynas.nn.fast.weighted_sum import normalised, weighted_sum
from raynas.nn.operations import HalvingConv

Candidate = Callable[[Tensor], Tensor]
"""A candidate: an ``nn.Module``, or whatever maps the input to an output; only modules are looked into."""

_Result = TypeVar("_Result")


class Memo:
    """What was computed from a tensor by steps without parameters, for the other edges that start from it.

    Make one for each forward pass of a network. The oldest results are dropped, so that it keeps little alive.

    Args:
        size: how many results are kept at most; a cell of DARTS has about 40.
    """

    def __init__(self, size: int = 48) -> None:
        self._size = size
        self._results: OrderedDict[Hashable, tuple[Tensor, Any]] = OrderedDict()

    def get(self, x: Tensor, key: Hashable, compute: Callable[[Tensor], Any]) -> Any:
        """What ``compute(x)`` gives, computed only the first time that it is asked for with this ``x`` and ``key``."""
        if x.is_inference():  # Nothing tells whether it was changed since.
            return compute(x)
        place = (id(x), x._version, torch.is_grad_enabled(), key)
        if place not in self._results:
            self._results[place] = (x, compute(x))  # Holding x keeps its id from being used again.
            if len(self._results) > self._size:
                self._results.popitem(last=False)
        return self._results[place][1]

    def clear(self) -> None:
        """Forget everything."""
        self._results.clear()


def mixed(
    candidates: Sequence[Candidate], weights: Tensor, x: Tensor, memo: Memo | None = None, *, fused: bool = True
) -> Tensor:
    """The sum of ``weights[i] * candidates[i](x)``.

    No candidate may change ``x``, which the others read too. Candidates that are an ``nn.Sequential`` are looked into;
    others are called as they are, and so are those with hooks. Second derivatives work, by PyTorch's own formulas, and
    are slow.

    Args:
        candidates: their outputs must have equal shapes.
        weights: ``(len(candidates),)``.
        x: the input of each; what is no batch of images on a CPU takes the plain path.
        memo: shares results with the other calls that were given it, in the same forward pass.
        fused: whether to take the fast path at all; without it each candidate is called and weighted in turn.

    Raises:
        ValueError: if there is no candidate or not one weight for each, if outputs differ in shape, or if a
            candidate changes ``x`` in place.
    """
    if not candidates or weights.shape != (len(candidates),):
        raise ValueError(f"need one weight for each of {len(candidates)} >= 1 candidates, got {tuple(weights.shape)}")
    # With a batch of 1, which is no format in particular, torch gets gradients wrong if they are to be differentiated.
    if not fused or x.dim() != 4 or len(x) == 1 or x.device.type != "cpu":
        return _plain_sum(weights, _computed_apart(candidates, x, lambda candidate: candidate(x)))
    memo = Memo() if memo is None else memo
    x = memo.get(x, "channels last", partial(torch.Tensor.contiguous, memory_format=torch.channels_last))
    paths = _computed_apart(candidates, x, lambda candidate: _Path(x, memo).through(candidate))
    values, norms = [path.value for path in paths], [path.norm for path in paths]
    _refuse_different_shapes(values)
    if values[0].dim() != 4:
        return _plain_sum(weights, values)
    out, means, variances = weighted_sum(weights, values, [None if norm is None else norm.eps for norm in norms])
    for norm, mean, variance in zip(norms, means, variances, strict=True):
        if norm is not None:
            _update_running(norm, mean, variance, out)
    return out


def _computed_apart(
    candidates: Sequence[Candidate], x: Tensor, compute: Callable[[Candidate], _Result]
) -> list[_Result]:
    """``compute`` of each candidate, none of which may change what the others read."""
    before = None if x.is_inference() else x._version
    results = [compute(candidate) for candidate in candidates]
    if before is not None and x._version != before:
        raise ValueError("a candidate changes its input in place, which others read too: make it inplace=False")
    return results


def _refuse_different_shapes(values: Sequence[Tensor]) -> None:
    if len(shapes := {tuple(value.shape) for value in values}) > 1:
        raise ValueError(f"the outputs of candidates must have equal shapes, got {sorted(shapes)}")


def _plain_sum(weights: Tensor, values: Sequence[Tensor]) -> Tensor:
    _refuse_different_shapes(values)
    return cast(Tensor, sum(weight * value for weight, value in zip(weights.unbind(), values, strict=True)))


class _Path:
    """The way of an input through the layers of a candidate.

    Attributes:
        value: what it has become.
        norm: what the value has still to be normalised by, so that this can be one step with what follows.
        shared: whether the value still depends on nothing but the input, so that other candidates may use it.
    """

    def __init__(self, x: Tensor, memo: Memo) -> None:
        self.start = x
        self.value = x
        self.memo = memo
        self.norm: nn.BatchNorm2d | None = None
        self.shared = True

    def through(self, candidate: Candidate) -> "_Path":
        """Go through all layers of ``candidate``."""
        for layer in _flat(candidate):
            if self.norm is not None:
                relu = _is_plain(layer, nn.ReLU)
                self._normalise(self.norm, relu)
                if relu:
                    continue
            if _is_image(self.value) and _is_batch_statistics(layer):
                self.norm = layer
                if self.shared:
                    self._normalise(self.norm, relu=False)
            else:
                self.value = self._passed(layer)
        return self

    def _normalise(self, norm: nn.BatchNorm2d, relu: bool) -> None:
        normalise = partial(normalised, eps=norm.eps, relu=relu)
        self.value, mean, variance = self._computed(("norm", norm.eps, relu), normalise)
        _update_running(norm, mean, variance, self.value)
        self.norm = None

    def _computed(self, key: Hashable, compute: Callable[[Tensor], Any]) -> Any:
        """``compute(value)``, a step without parameters."""
        return self.memo.get(self.value, key, compute) if self.shared else compute(self.value)

    def _passed(self, layer: Candidate) -> Tensor:
        """What ``layer`` makes of the value."""
        image = _is_image(self.value)
        if image and self.shared and (step := _step_without_parameters(layer)):
            return cast(Tensor, self._computed(*step))
        if image and _is_plain(layer, nn.Conv2d) and suits(layer, self.value):
            out = self._depthwise(layer)
        elif image and _is_halving(layer, self.value):
            out = self._halved(layer)
        elif image and self.shared:
            # What was computed once for several candidates is still to be read by others.
            copied = self.value is not self.start and _may_change(layer)
            out = layer(self.value.clone() if copied else _with_ordered_gradient(self.value))
        else:
            out = layer(self.value)
        self.shared = False
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
        """The two convolutions of stride 2 as dense ones of every other pixel."""
        parts = [F.conv2d(self._subsampled(2, i), part.weight) for i, part in enumerate((conv.even, conv.odd))]
        return torch.cat(parts, dim=1)

    def _subsampled(self, step: int, offset: int) -> Tensor:
        compute = partial(subsampled, step=step, offset=offset)
        return cast(Tensor, self._computed(("subsample", step, offset), compute))


def _flat(candidate: Candidate) -> Iterator[Candidate]:
    """The layers of a candidate in turn."""
    if _is_plain(candidate, nn.Sequential):
        for layer in candidate:
            yield from _flat(layer)
    elif not _is_plain(candidate, nn.Identity):
        yield candidate


def _is_image(value: object) -> TypeGuard[Tensor]:
    """Whether it is a batch of images; between its layers a candidate may hand on anything."""
    return isinstance(value, Tensor) and value.dim() == 4


def _may_change(layer: Candidate) -> bool:
    """Whether a layer might change its input in place: PyTorch's own say so."""
    if not isinstance(layer, nn.Module):
        return True
    ours = ("torch.nn.", "raynas.nn.")
    return any(not type(m).__module__.startswith(ours) or getattr(m, "inplace", False) for m in layer.modules())


_Kind = TypeVar("_Kind", bound=nn.Module)


def _is_plain(module: object, kind: type[_Kind]) -> TypeGuard[_Kind]:
    """Whether it is a module of exactly that class, without hooks."""
    return type(module) is kind and not _has_hooks(cast(nn.Module, module))


def _has_hooks(module: nn.Module) -> bool:
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(hooks)


def _step_without_parameters(layer: Candidate) -> tuple[Hashable, Callable[[Tensor], Tensor]] | None:
    """A name of what the layer computes, and how, if that depends on the input alone."""
    if _is_plain(layer, nn.ReLU) and not layer.inplace:
        return "relu", torch.relu
    if _is_plain(layer, nn.MaxPool2d) and not layer.return_indices:
        sizes = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        geometry = (*map(as_pair, sizes), layer.ceil_mode)
        return ("max", *geometry), partial(max_pool, geometry=geometry)
    if _is_plain(layer, nn.AvgPool2d):
        geometry = (*map(as_pair, (layer.kernel_size, layer.stride, layer.padding)), layer.ceil_mode)
        key = ("average", *geometry, layer.count_include_pad, layer.divisor_override)
        return key, partial(average_pool, pool=layer)
    return None


def _is_halving(layer: Candidate, x: Tensor) -> TypeGuard[HalvingConv]:
    """Whether it is the layer that reads every other pixel of an image with even sides."""
    even = x.shape[-1] % 2 == 0 and x.shape[-2] % 2 == 0
    return even and _is_plain(layer, HalvingConv) and not any(map(_has_hooks, layer.children()))


def _is_batch_statistics(layer: Candidate) -> TypeGuard[nn.BatchNorm2d]:
    """Whether it is a batch norm that normalises by the batch and has no weights."""
    return _is_plain(layer, nn.BatchNorm2d) and not layer.affine and (layer.training or layer.running_mean is None)


@torch.no_grad()
def _update_running(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, out: Tensor) -> None:
    """Move the running statistics as ``norm`` itself would have."""
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
    """``x``, whose gradient is brought into channels-last order before it is added to others."""
    view = x.view_as(x)
    if view.requires_grad:
        view.register_hook(partial(torch.Tensor.contiguous, memory_format=torch.channels_last))
    return view
