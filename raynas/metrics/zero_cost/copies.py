"""Copies of networks, quicker than ``copy.deepcopy``, which looks closely at everything that is trivial."""

import copy
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from raynas.metrics.mac_counter import no_garbage_collection

_PLAIN = frozenset((bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device))
"""Types whose values are never changed."""


def copied(model: nn.Module) -> nn.Module:
    """Return a deep copy whose parameters have no gradients and are in the memory format fastest for convolutions."""
    with no_garbage_collection():
        clone: nn.Module = _copied(model, {})
    for parameter in clone.parameters():
        parameter.grad = None
        if parameter.stride() != _strides(parameter):  # Of a module that was copied in another way.
            parameter.data = channels_last(parameter.data)
    return clone


def channels_last(x: Tensor) -> Tensor:
    """Return a copy of ``x`` in the memory format fastest for convolutions, with the strides of that format.

    Images of one channel are in that order with other strides too, by which kernels round differently.
    """
    return x.clone(memory_format=torch.channels_last if x.ndim == 4 else torch.contiguous_format)


def _strides(x: Tensor) -> tuple[int, ...]:
    order = torch.channels_last if x.ndim == 4 else torch.contiguous_format
    return torch.empty_like(x, device="meta", memory_format=order).stride()


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    """Return what ``copy.deepcopy(value, memo)`` returns."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, nn.Module) and _is_usual(kind):
        return _copied_module(value, memo)
    if kind is nn.Parameter and not vars(value):
        memo[id(value)] = nn.Parameter(channels_last(value.detach()), value.requires_grad)
        return memo[id(value)]
    if kind is Tensor and value.is_leaf and not value.requires_grad and not vars(value):
        memo[id(value)] = value.clone()
        return memo[id(value)]
    if kind is OrderedDict or kind is dict:
        clone: dict[Any, Any] = kind()
        memo[id(value)] = clone
        for key, item in value.items():
            clone[_copied(key, memo)] = _copied(item, memo)
        return clone
    if (kind is tuple or kind is set) and all(type(item) in _PLAIN for item in value):
        return kind(value)
    return copy.deepcopy(value, memo)


def _copied_module(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    clone = type(module).__new__(type(module))
    memo[id(module)] = clone
    attributes = vars(clone)  # Past nn.Module's own __setattr__, which would sort what is already sorted.
    for name, value in vars(module).items():
        attributes[name] = value if type(value) in _PLAIN else _copied(value, memo)
    return clone


_REDUCTION = {name: getattr(nn.Module, name, None) for name in ("__reduce_ex__", "__reduce__", "__getstate__")}


def _is_usual(kind: type) -> bool:
    """Return True if a class of modules is copied attribute by attribute.

    What PyTorch's own classes do in ``__setstate__`` is for files of earlier versions.
    """
    restores = kind.__setstate__.__module__.startswith("torch.nn.")  # type: ignore[attr-defined]
    usual = all(getattr(kind, name, None) is method for name, method in _REDUCTION.items())
    return restores and usual and not hasattr(kind, "__deepcopy__")
