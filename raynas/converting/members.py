"""Members of a converted model: copies of it with fewer channels and blocks."""

import copy
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from raynas.converting.attention import PrunedMultiheadAttention, set_heads
from raynas.converting.kernels import set_kernel_size
from raynas.errors import SpaceError
from raynas.nn.dimensions.expressions import Dimension, Kept, positions, size_of
from raynas.nn.dimensions.layer_sizes import set_sizes

Sliced = Callable[[Tensor], Tensor]


class Number(NamedTuple):
    """An attribute of a user's module that holds a width.

    Args:
        path: of the module.
        name: of the attribute; "config.n_head" is one of an object, or an entry of a dict, that the module holds.
        dimension: the width.
    """

    path: str
    name: str
    dimension: Dimension

    @property
    def is_setting(self) -> bool:
        """True for one that an object or a dict holds, maybe for many modules."""
        return "." in self.name


class Scale(NamedTuple):
    """An attribute that holds a power of a width, such as the scale of attention.

    Args:
        path: as of a number.
        name: as of a number.
        dimension: the width.
        exponent: the power.
    """

    path: str
    name: str
    dimension: Dimension
    exponent: float


def holder_of(model: nn.Module, attribute: Number | Scale) -> tuple[Any, str]:
    """Return the object or dict that holds an attribute of a model, and the attribute's name there."""
    holder: Any = model.get_submodule(attribute.path)
    outer, _, last = attribute.name.rpartition(".")
    return (getattr(holder, outer) if outer else holder), last


def _value(holder: Any, name: str) -> Any:
    return holder[name] if isinstance(holder, dict) else getattr(holder, name)


class Wiring:
    """A model, and which dimensions its tensors have.

    Args:
        model: the given one.
        dimensions: of each parameter and buffer, by name.
        inputs_of: input channels of each convolution, by the name of its weight.
    """

    def __init__(
        self,
        model: nn.Module,
        dimensions: Mapping[str, tuple[Dimension, ...]],
        inputs_of: Mapping[str, Dimension],
    ) -> None:
        self.model = model
        self.dimensions = dimensions
        self.inputs_of = inputs_of
        self.numbers: list[Number] = []
        self.scales: list[Scale] = []
        self._find_names()

    def _find_names(self) -> None:
        named = (*self.model.named_parameters(), *self.model.named_buffers())
        self.tensors = {id(tensor): tensor for _, tensor in named}
        self._names = {id(tensor): name for name, tensor in named}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._find_names()  # A copy's tensors have other identities.

    def dimensions_of(self, tensor: Tensor) -> tuple[Dimension, ...] | None:
        """Return the dimensions of a parameter or buffer of the model; None for any other tensor."""
        return self.dimensions.get(self._names.get(id(tensor), ""))

    def indices(self, tensor: Tensor, kept: Kept) -> list[tuple[int, Tensor]]:
        """Return the dimensions of a tensor that are not kept whole, each with the positions that are."""
        dimensions = self.dimensions_of(tensor) or ()
        return [(i, positions(d, kept)) for i, d in enumerate(dimensions) if size_of(d, kept) != d.size]

    def sliced(self, tensor: Tensor, kept: Kept) -> Tensor:
        """Return the part of a parameter or buffer that a member has; the tensor itself if that is all of it."""
        for axis, index in self.indices(tensor, kept):
            tensor = tensor.index_select(axis, index.to(tensor.device))
        return tensor

    def shape(self, tensor: Tensor, kept: Kept) -> list[int]:
        """Return the shape that a parameter or buffer has in a member."""
        dimensions = self.dimensions_of(tensor)
        return list(tensor.shape) if dimensions is None else [size_of(dimension, kept) for dimension in dimensions]

    def member(self, kept: Kept, dropped: Collection[str], slice_of: Sliced) -> nn.Module:
        """Return a copy of the model.

        Args:
            kept: the indices that are kept.
            dropped: paths of the blocks that are left out.
            slice_of: gives the tensor in the place of a parameter or buffer.
        """
        gone = {id(t) for path in dropped for t in _tensors(self.model.get_submodule(path))}
        stays = {id(t) for path, module in self.model.named_modules() if not _inside(path, dropped)
                 for t in (*module.parameters(recurse=False), *module.buffers(recurse=False))}  # fmt: skip
        memo: dict[int, object] = {}
        for tensor in _tensors(self.model):
            lost = id(tensor) in gone - stays
            memo[id(tensor)] = tensor if lost else _like(slice_of(tensor), tensor)
        clone = copy.deepcopy(self.model, memo)
        self._set_numbers(clone, kept)
        for path, module in self.model.named_modules():
            if not _inside(path, dropped):
                _fit(clone.get_submodule(path), self._n_in(module, kept))
        self._set_heads(clone, kept, dropped)
        outermost = [path for path in dropped if not _inside(path.rpartition(".")[0], dropped)]
        for path in outermost:
            container, _, name = path.rpartition(".")
            del clone.get_submodule(container)._modules[name]
        # Inner containers first, whose paths change with the numbers of outer ones.
        for container in sorted({path.rpartition(".")[0] for path in outermost}, key=lambda path: -path.count(".")):
            _renumber(clone.get_submodule(container))
        return clone

    def skeleton(self, kept: Kept, dropped: Collection[str] = ()) -> nn.Module:
        """Return a member without values, on the meta device."""

        def empty(tensor: Tensor) -> Tensor:
            return torch.empty(self.shape(tensor, kept), dtype=tensor.dtype, device="meta")

        return self.member(kept, dropped, empty)

    def _n_in(self, module: nn.Module, kept: Kept) -> int | None:
        weight = module._parameters.get("weight")  # A parametrization may change its buffers when it is read.
        dimension = self.inputs_of.get(self._names.get(id(weight), ""))
        return None if dimension is None else size_of(dimension, kept)

    def _set_heads(self, clone: nn.Module, kept: Kept, dropped: Collection[str]) -> None:
        for path, module in self.model.named_modules():
            dimensions = self.dimensions_of(module.out_proj.weight) if type(module) is nn.MultiheadAttention else None
            if dimensions is not None and not _inside(path, dropped):
                set_heads(clone.get_submodule(path), module, dimensions[1], kept)
        if any(isinstance(module, PrunedMultiheadAttention) for module in clone.modules()):
            for module in clone.modules():
                if isinstance(module, nn.TransformerEncoder):  # Nested tensors are for fused kernels alone.
                    module.enable_nested_tensor = module.use_nested_tensor = False

    def _set_numbers(self, clone: nn.Module, kept: Kept) -> None:
        for number in self.numbers:
            self._set(clone, number, size_of(number.dimension, kept))
        for scale in self.scales:
            change: float = (size_of(scale.dimension, kept) / scale.dimension.size) ** scale.exponent
            if change != 1:
                holder, last = holder_of(self.model, scale)
                self._set(clone, scale, _value(holder, last) * change)

    def _set(self, clone: nn.Module, attribute: "Number | Scale", value: float) -> None:
        """Set an attribute of a member.

        Raises:
            SpaceError: if it is held by an object that a copy of the model shares with it.
        """
        given, last = holder_of(self.model, attribute)
        holder, _ = holder_of(clone, attribute)
        if value == _value(given, last):
            return
        if holder is given:
            raise SpaceError(f"{attribute.path}.{attribute.name} is not copied with the model")
        if isinstance(holder, dict):
            holder[last] = value
        else:  # past the checks of frozen settings
            object.__setattr__(holder, last, value)


def _inside(path: str, dropped: Collection[str]) -> bool:
    return any(path == block or path.startswith(f"{block}.") for block in dropped)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _like(new: Tensor, old: Tensor) -> Tensor:
    """Return a tensor as the parameter or buffer that ``old`` is."""
    if isinstance(old, nn.Parameter):
        return new if isinstance(new, nn.Parameter) else nn.Parameter(new.detach(), old.requires_grad)
    return new


def _renumber(container: nn.Module) -> None:
    if all(name.isdigit() for name in container._modules):
        container._modules = {str(i): child for i, child in enumerate(container._modules.values())}


def _fit(module: nn.Module, n_in: int | None) -> None:
    """Set the numbers that a layer keeps of its weights' shapes; a convolution has ``n_in`` input channels."""
    if isinstance(module, nn.modules.conv._ConvNd):
        weight = module._parameters.get("weight")  # None if it is computed, and then keeps its kernel
        if weight is not None and tuple(module.kernel_size) != tuple(weight.shape[2:]):
            set_kernel_size(module)
    set_sizes(module, n_in)
