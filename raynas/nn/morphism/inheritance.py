"""Copies of the tensors of one network in another one, as far as they fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from raynas.errors import RaynasError

Weights = nn.Module | Mapping[str, Tensor]
"""A network, or its state_dict."""


@dataclass(frozen=True)
class Inheritance:
    """Report on the tensors that a network inherited from another one, by their names.

    Args:
        whole: tensors of the same shape, which were copied; those of a widened layer after widening.
        partly: tensors of other sizes, of which the overlap was copied.
        fresh: tensors left unchanged.
        share: copied share of all numbers in the network, in [0, 1].
        widened: layers whose weights were widened before they were copied, so that the function stays the same.
        passing: new blocks that were set to pass their input through.
        notes: changes of the function, with their reasons.
    """

    whole: tuple[str, ...] = ()
    partly: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    share: float = 0.0
    widened: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{len(self.whole)} tensors inherited whole, {len(self.partly)} partly, {len(self.fresh)} fresh"
        text += f" ({self.share:.1%} of all numbers)"
        text += f"; widened: {', '.join(self.widened)}" if self.widened else ""
        text += f"; passing their input through: {', '.join(self.passing)}" if self.passing else ""
        return "; ".join((text, *self.notes))


def inherit(target: nn.Module, source: Weights) -> Inheritance:
    """Copy the tensors of ``source`` into those of the same name in ``target``.

    If only sizes differ, the overlap is copied: the first channels, the centre of a convolution's kernel. The rest
    keeps its values. Nothing is shared with ``source`` afterwards.

    Args:
        target: the network to copy into; parameters and buffers, on any device.
        source: a network or a state_dict.

    Raises:
        RaynasError: if ``target`` holds lazy layers that do not know their sizes yet.
    """
    given = source.state_dict() if isinstance(source, nn.Module) else source
    whole: list[str] = []
    partly: list[str] = []
    fresh: list[str] = []
    n_copied = n_all = 0
    for name, tensor in target.state_dict().items():
        if is_lazy(tensor):
            raise RaynasError(f"tensor {name!r} is lazy and has no size yet: call the network once before it inherits")
        other = given.get(name)
        n_numbers = 0
        if other is not None and not is_lazy(other) and other.dim() == tensor.dim():
            n_numbers = _copy_overlap(tensor, other, _is_kernel(target, name))
        n_copied, n_all = n_copied + n_numbers, n_all + tensor.numel()
        same = other is not None and other.shape == tensor.shape
        (whole if same else partly if n_numbers else fresh).append(name)
    return Inheritance(tuple(whole), tuple(partly), tuple(fresh), n_copied / n_all if n_all else 1.0)


def _is_kernel(model: nn.Module, name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    return attribute == "weight" and isinstance(model.get_submodule(module), nn.modules.conv._ConvNd)


def _copy_overlap(tensor: Tensor, other: Tensor, is_kernel: bool) -> int:
    """Copy the overlap and return its number of elements."""
    sizes = [min(pair) for pair in zip(tensor.shape, other.shape, strict=True)]

    def part(of: Tensor) -> tuple[slice, ...]:
        # Channels come first in a convolution's weight, what follows is the kernel.
        starts = [
            (n - size) // 2 * (is_kernel and dim > 1) for dim, (n, size) in enumerate(zip(of.shape, sizes, strict=True))
        ]
        return tuple(slice(start, start + size) for start, size in zip(starts, sizes, strict=True))

    with torch.no_grad():
        tensor[part(tensor)].copy_(other[part(other)])
    return prod(sizes)
