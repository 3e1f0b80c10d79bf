"""Trace of one forward pass: the dimensions of every tensor in it, unified by what the operations do with them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from raynas.nn.dimensions.expressions import Atom, Dimension, fixed, freeze

INPUT, OUTPUT = "an input of the model", "an output of the model"
"""Reasons why dimensions are fixed."""


class _Mode(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False, since a trace is never compiled, and torch imports its compiler, for seconds, to skip it."""
        return False


class Trace(_Mode):
    """Unify the dimensions of tensors while a model runs.

    Operations are seen below autograd, where modules, functions, control flow and reshapes are gone, so that no model
    is out of reach for the way it is written.
    """

    def __init__(self) -> None:
        super().__init__()
        self._dimensions: dict[int, tuple[Dimension, ...]] = {}
        self._alive: list[Tensor] = []  # An identity is one tensor's only as long as that lives.
        self.inputs_of: dict[int, Dimension] = {}
        """Input channels of each convolution, by the identity of its weight."""
        self.log: list[tuple[str, list[tuple[Dimension, ...]]]] = []
        """The operations that compute, in order, each with the dimensions of its results."""
        self.mixed: list[tuple[Dimension, str]] = []
        """Dimensions whose indices an operation without weights computes with together, and its name."""
        self.constants: list[Dimension] = []
        """Dimensions of tensors that no operation computed and that are not all one number, such as a range."""
        self._numbered: dict[int, Dimension] = {}
        self.operation = ""
        """Name of the operation that is being traced."""
        self.asked: set[int] = set()
        """Identities of the tensors whose dimensions were asked for."""

    def of(self, tensor: Tensor) -> tuple[Dimension, ...]:
        """Return the dimensions of a tensor; new ones if it was not seen before."""
        self.asked.add(id(tensor))
        if id(tensor) not in self._dimensions:
            self.constants.extend(self.put_free(tensor))
        return self._dimensions[id(tensor)]

    def knows(self, tensor: Tensor) -> bool:
        """Return True if a tensor has come up."""
        return id(tensor) in self._dimensions

    def put(self, tensor: Tensor, dimensions: Sequence[Dimension]) -> None:
        """Set the dimensions of a tensor."""
        assert [dimension.size for dimension in dimensions] == list(tensor.shape)
        self._dimensions[id(tensor)] = tuple(dimensions)
        self._alive.append(tensor)

    def put_free(self, tensor: Tensor) -> Sequence[Dimension]:
        """Give a tensor dimensions that are free until it meets another tensor."""
        self.put(tensor, [Atom(size) for size in tensor.shape])
        return self._dimensions[id(tensor)]

    def freeze(self, values: object, reason: str) -> None:
        """Keep all dimensions of the tensors in a structure from varying."""
        self._use(values)
        for tensor in tensors_in(values):
            for dimension in self.of(tensor):
                freeze(dimension, reason)

    def numbers(self, indices: Tensor, dimension: Dimension) -> None:
        """Note that a tensor holds numbers of indices, which must all stay once it is used."""
        self._numbered[id(indices)] = dimension

    def _use(self, values: object) -> None:
        for tensor in tensors_in(values) if self._numbered else ():
            if id(tensor) in self._numbered:
                freeze(self._numbered[id(tensor)], "its indices are looked up by number")

    def mix(self, dimension: Dimension) -> None:
        """Note that the current operation computes with all indices of a dimension together."""
        self.mixed.append((dimension, self.operation))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        from raynas.nn.dimensions.rules import apply  # which names this class in its signatures

        self.operation = func._schema.name.removeprefix("aten::")
        self._use((args, kwargs))
        result = func(*args, **(kwargs or {}))
        apply(self, func, args, dict(kwargs or {}), result)
        if not _only_moves(func):
            self.log.append((func._schema.name, [self.of(tensor) for tensor in tensors_in(result)]))
        return result

    def give_up(self, name: str, args: object, result: object) -> None:
        """Freeze the inputs and outputs of an operation."""
        self.freeze(args, f"the operation {name}")
        for tensor in tensors_in(result):
            if not self.knows(tensor):
                self.put(tensor, [fixed(size, f"the operation {name}") for size in tensor.shape])


class Recording(_Mode):
    """Record the operations that compute, with the shapes of their results, as ``Trace.log`` has them."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[str, list[torch.Size]]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not _only_moves(func):
            self.log.append((func._schema.name, [tensor.shape for tensor in tensors_in(result)]))
        return result


_MOVING = {"clone", "_to_copy", "contiguous", "_unsafe_view", "_reshape_copy", "copy_", "empty", "detach", "lift_fresh"}


def _only_moves(func: Any) -> bool:
    """Return True for an operation that is there or not for reasons of memory layout."""
    name = func._schema.name.removeprefix("aten::")
    return name in _MOVING or any(result.alias_info is not None for result in func._schema.returns)


def tensors_in(values: object) -> Iterator[Tensor]:
    """Yield the tensors of a structure: also of mappings and data classes that torch does not know as containers."""
    for leaf in tree_leaves(values):
        if isinstance(leaf, Tensor):
            yield leaf
        elif isinstance(leaf, Mapping):
            yield from tensors_in(list(leaf.values()))
        elif hasattr(leaf, "__dataclass_fields__"):
            yield from tensors_in([getattr(leaf, name) for name in leaf.__dataclass_fields__])


@contextmanager
def slow_attention() -> Iterator[None]:
    """Let transformers of torch compute by operations that can be traced, until the context ends."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
