"""A member of a converted model, computed another way: by the given model, whose other channels and blocks are silent.

The weights of all channels that the member lacks are zero, and the blocks that it lacks give back their input. Layers
that compute with the number of channels (norms over channels, the scale of attention) get to know which of them count.
Nothing is sliced, so that a mistake in a member's wiring shows as another output.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_unflatten

from raynas.converting import ConvertedSpace
from raynas.core.architecture import Option
from raynas.core.inputs import Arguments
from raynas.nn.dimensions.expressions import positions, size_of
from raynas.nn.dimensions.tracing import tensors_in
from scripts.bench.outputs import output


def silenced(space: ConvertedSpace, arch: Mapping[str, Option]) -> nn.Module:
    """Return a copy of the given model, in double precision, that computes what the member should."""
    plan = space.plan
    options = space.canonical(arch)
    kept = plan.kept(options)
    clone = copy.deepcopy(plan.wiring.model).double()
    tensors = {**dict(clone.named_parameters()), **dict(clone.named_buffers())}
    for name, dimensions in plan.wiring.dimensions.items():
        if name.endswith("running_var") or not tensors[name].is_floating_point():
            continue
        for axis, dimension in enumerate(dimensions):
            mask = torch.zeros(dimension.size, dtype=torch.float64)
            mask[positions(dimension, kept)] = 1
            tensors[name].data *= mask.view(-1, *[1] * (tensors[name].ndim - axis - 1))
    for path in plan.dropped(options):
        clone.get_submodule(path).register_forward_hook(_give_back, with_kwargs=True)
    for path, name, dimension, exponent in plan.wiring.scales:  # Of attention: they follow the width of heads.
        module = clone.get_submodule(path)
        setattr(module, name, getattr(module, name) * (size_of(dimension, kept) / dimension.size) ** exponent)
    return clone


def silenced_output(space: ConvertedSpace, arch: Mapping[str, Option], example: Arguments) -> Tensor:
    """Return the output that the member should have."""
    return counted_output(silenced(space, arch).eval(), example)


def counted_output(model: nn.Module, example: Arguments) -> Tensor:
    """Return the output of a model in double precision with silent channels, of which layers know that they are."""
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm") and not isinstance(module, nn.RMSNorm):
            module.register_forward_hook(_rms_norm)
    with _CountedChannels():
        return output(model, example)


def _give_back(module: nn.Module, args: Any, kwargs: Any, result: Any) -> Any:
    """Return the block's first input in the place of its first output."""
    given = next(tensors_in((args, kwargs)))
    leaves, structure = tree_flatten(result)
    first = next(i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor))
    return tree_unflatten([*leaves[:first], given, *leaves[first + 1 :]], structure)


def _rms_norm(module: nn.Module, args: Any, result: Tensor) -> Tensor:
    """Return what a norm written in Python would, over the channels that count."""
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    assert isinstance(eps, float) and isinstance(module.weight, Tensor)
    return _normalised(args[0], module.weight, None, eps, centred=False)


def _normalised(x: Tensor, weight: Tensor, bias: Tensor | None, eps: float, centred: bool) -> Tensor:
    counts = (weight != 0).to(x.dtype)
    n = counts.sum()
    mean = (x * counts).sum(-1, keepdim=True) / n if centred else torch.zeros(1, dtype=x.dtype)
    centred_x = (x - mean) * counts
    out = centred_x * (centred_x.square().sum(-1, keepdim=True) / n + eps).rsqrt() * weight
    return out if bias is None else out + bias


class _CountedChannels(TorchFunctionMode):
    """Norms over channels and the scale of attention, with the channels that are not silent."""

    def __torch_function__(
        self, func: Any, types: Sequence[Any], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in (F.layer_norm, F.rms_norm):
            return self._norm(func, *args, **kwargs)
        if func is F.scaled_dot_product_attention and kwargs.get("scale") is None:
            n = int((args[0] != 0).flatten(0, -2).any(0).sum())
            kwargs["scale"] = n**-0.5
        return func(*args, **kwargs)

    def _norm(
        self,
        func: Any,
        x: Tensor,
        shape: Sequence[int],
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float | None = 1e-5,
    ) -> Tensor:
        if weight is None or len(shape) > 1:
            return F.layer_norm(x, list(shape), weight, bias, eps or 1e-5)
        eps = torch.finfo(x.dtype).eps if eps is None else eps
        return _normalised(x, weight, bias, eps, centred=func is F.layer_norm)
