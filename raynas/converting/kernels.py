"""Kernels of convolutions that may shrink to their middle."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import _reverse_repeat_tuple

from raynas.converting.groups import matches
from raynas.nn.dimensions.expressions import Atom, Dimension, Kept, resolved
from raynas.nn.morphism.layer_kinds import Conv


@dataclass(frozen=True, eq=False)
class ConvKernel:
    """The kernel of a convolution, of one odd size in all directions.

    Args:
        layer: dotted path of the convolution.
        size: its size in the given model.
        atoms: the positions in it, by direction.
    """

    layer: str
    size: int
    atoms: tuple[Atom, ...]

    @property
    def name(self) -> str:
        """Name of its decision."""
        return f"{self.layer}.kernel_size"

    def kept(self, size: int) -> Kept:
        """Return the positions in the middle."""
        first = (self.size - size) // 2
        return {atom: torch.arange(first, first + size) for atom in self.atoms} if size < self.size else {}

    def edgeless(self, weight: Tensor, size: int) -> Tensor:
        """Return a copy of the kernel's weights with zeros around the middle."""
        edge = (self.size - size) // 2
        found = weight.clone()
        for axis in range(-len(self.atoms), 0):
            found.narrow(axis, 0, edge).zero_()
            found.narrow(axis, edge + size, edge).zero_()
        return found

    def matches(self, pattern: str) -> bool:
        """Return True if a glob names the decision, the convolution or a module that holds it."""
        return matches(self.name, pattern) or matches(self.layer, pattern)


def kernels_of(model: nn.Module, dimensions: Mapping[str, tuple[Dimension, ...]]) -> Iterator[ConvKernel]:
    """Yield the kernels that may shrink: odd, and padded so that the output keeps its size with the least of them.

    Args:
        model: the given one.
        dimensions: of its parameters, by name.
    """
    for path, module in model.named_modules():
        if not isinstance(module, Conv):
            continue
        atoms = tuple(map(resolved, dimensions.get(f"{path}.weight" if path else "weight", ())[2:]))
        size = module.kernel_size[0]
        is_odd = size > 1 and size % 2 == 1 and set(module.kernel_size) == {size}
        if is_odd and atoms and all(isinstance(atom, Atom) and atom.frozen == "kernel" for atom in atoms):
            yield ConvKernel(path, size, tuple(atom for atom in atoms if isinstance(atom, Atom)))


def least_size(kernel: ConvKernel, module: nn.Module) -> int:
    """Return the smallest odd size at which the padding can be reduced alike, so that the output keeps its size."""
    assert isinstance(module, Conv)
    if isinstance(module.padding, str):
        return 1 if module.padding == "same" else kernel.size
    given: tuple[int, ...] = tuple(module.padding)
    return max(1, kernel.size - 2 * min(p // d for p, d in zip(given, module.dilation, strict=True)))


def set_kernel_size(module: nn.modules.conv._ConvNd) -> None:
    """Set the size and the padding of a convolution to those of its weights, from those that it had before."""
    size = tuple(module.weight.shape[2:])
    if isinstance(module.padding, str):
        total = [d * (k - 1) for d, k in zip(module.dilation, size, strict=True)][::-1]
        both = (
            [side for t in total for side in (t // 2, t - t // 2)] if module.padding == "same" else [0] * 2 * len(size)
        )
    else:
        less = [d * (old - new) // 2 for d, old, new in zip(module.dilation, module.kernel_size, size, strict=True)]
        module.padding = tuple(p - part for p, part in zip(module.padding, less, strict=True))
        both = list(_reverse_repeat_tuple(module.padding, 2))
    module.kernel_size = size
    module._reversed_padding_repeated_twice = both
