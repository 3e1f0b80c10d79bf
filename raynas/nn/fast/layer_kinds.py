"""Recognition of layers that have a fast form; a subclass or a layer with hooks is never recognised."""

from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import TypeGuard, TypeVar, cast

import torch
from torch import Tensor, nn

from raynas.nn.fast.pooling import as_pair, average_pool, max_pool
from raynas.nn.operations import HalvingConv

Candidate = Callable[[Tensor], Tensor]
"""A candidate: an ``nn.Module``, or any function of the input; only modules are looked into."""

_Kind = TypeVar("_Kind", bound=nn.Module)


def layers_of(candidate: Candidate) -> Iterator[Candidate]:
    """Yield the layers of a candidate in their order, without identities."""
    if is_plain(candidate, nn.Sequential):
        for layer in candidate:
            yield from layers_of(layer)
    elif not is_plain(candidate, nn.Identity):
        yield candidate


def is_plain(module: object, kind: type[_Kind]) -> TypeGuard[_Kind]:
    """Return whether an object is a module of exactly this class, without hooks."""
    return type(module) is kind and not _has_hooks(cast(nn.Module, module))


def _has_hooks(module: nn.Module) -> bool:
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(hooks)


def is_image(value: object) -> TypeGuard[Tensor]:
    """Return whether a value is a batch of images; between the layers of a candidate it may be anything."""
    return isinstance(value, Tensor) and value.dim() == 4


def may_change_input(layer: Candidate) -> bool:
    """Return whether a layer might change its input in place; known of the layers of PyTorch and of raynas only."""
    if not isinstance(layer, nn.Module):
        return True
    known = ("torch.nn.", "raynas.nn.")
    return any(not type(m).__module__.startswith(known) or getattr(m, "inplace", False) for m in layer.modules())


def is_halving(layer: Candidate, x: Tensor) -> TypeGuard[HalvingConv]:
    """Return whether a layer is the one that reads every other pixel, and the image has even sides."""
    even = x.shape[-1] % 2 == 0 and x.shape[-2] % 2 == 0
    return even and is_plain(layer, HalvingConv) and not any(map(_has_hooks, layer.children()))


def is_batch_normalisation(layer: Candidate) -> TypeGuard[nn.BatchNorm2d]:
    """Return whether a layer is a batch norm without weights that normalises by the batch."""
    return is_plain(layer, nn.BatchNorm2d) and not layer.affine and (layer.training or layer.running_mean is None)


def step_without_parameters(layer: Candidate) -> tuple[Hashable, Callable[[Tensor], Tensor]] | None:
    """Return a key and the function of a ReLU or pooling layer, whose output depends on the input alone; else None."""
    if is_plain(layer, nn.ReLU) and not layer.inplace:
        return "relu", torch.relu
    if is_plain(layer, nn.MaxPool2d) and not layer.return_indices:
        sizes = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        geometry = (*map(as_pair, sizes), layer.ceil_mode)
        return ("max", *geometry), partial(max_pool, geometry=geometry)
    if is_plain(layer, nn.AvgPool2d):
        geometry = (*map(as_pair, (layer.kernel_size, layer.stride, layer.padding)), layer.ceil_mode)
        key = ("average", *geometry, layer.count_include_pad, layer.divisor_override)
        return key, partial(average_pool, pool=layer)
    return None
