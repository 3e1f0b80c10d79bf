"""Inputs of networks: their description, examples made from it, and calls with them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, Union

import torch
from torch import Tensor

from raynas.errors import SpaceError
from raynas.validate import plain_parts

T = TypeVar("T")

Dimension = int | tuple[int, int]
"""The size of a dimension, or the smallest and the largest one where it varies."""


@dataclass(frozen=True)
class TensorSpec:
    """Description of a tensor that a network takes: ``TensorSpec((12,), torch.long, high=1000)`` for 12 token ids.

    Args:
        shape: shape of one example without the batch. A dimension that varies, such as the length of a text, is a pair
            of its smallest and its largest size; costs are those of the largest.
        dtype: real numbers, whole numbers or bool.
        low: smallest value of an example.
        high: upper bound of the values of an example, not reached: the number of tokens for token ids. None for 1 above
            ``low``, and for 2 above it for whole numbers.

    Raises:
        SpaceError: if a size, the type or the range is none.
    """

    shape: Sequence[Dimension]
    dtype: torch.dtype = torch.float32
    low: float = 0
    high: float | None = None

    def __post_init__(self) -> None:
        sizes = tuple(plain_parts(tuple(size) if isinstance(size, Sequence) else size) for size in self.shape)
        object.__setattr__(self, "shape", sizes)
        for size in sizes:
            ends = size if isinstance(size, tuple) else (size, size)
            if len(ends) != 2 or not all(isinstance(n, int) for n in ends) or not 0 <= ends[0] <= ends[1]:
                raise SpaceError(f"a dimension must be a size or a pair (smallest, largest), got {size!r} in {sizes}")
        if not isinstance(self.dtype, torch.dtype) or self.dtype.is_complex:
            raise SpaceError(f"dtype must be one of torch's real or whole numbers or torch.bool, got {self.dtype!r}")
        if self.high is not None and not self.low < self.high:
            raise SpaceError(f"high must be above low, got low={self.low} and high={self.high}")

    def __str__(self) -> str:
        return _description(self.dtype, self.shape)

    def sizes(self, *, smallest: bool = False) -> tuple[int, ...]:
        """Return the shape of one example with the largest, or the smallest, size of each dimension that varies."""
        return tuple(size if isinstance(size, int) else size[0 if smallest else 1] for size in self.shape)

    def fits(self, shape: Sequence[int]) -> bool:
        """Return True if an example may have a shape."""
        bounds = zip(self.sizes(smallest=True), self.sizes(), strict=True)
        return len(shape) == len(self.shape) and all(
            low <= size <= high for size, (low, high) in zip(shape, bounds, strict=True)
        )

    def example(self, batch_size: int, device: torch.device, generator: torch.Generator, *, smallest: bool) -> Tensor:
        """Return a batch of random values; on the meta device without values."""
        shape = (batch_size, *self.sizes(smallest=smallest))
        if device.type == "meta":
            return torch.empty(shape, dtype=self.dtype, device=device)
        low = self.low
        if self.dtype.is_floating_point:
            width = 1 if self.high is None else self.high - low
            made = torch.rand(shape, generator=generator, dtype=self.dtype, device="cpu") * width + low
        else:
            high = low + 2 if self.high is None else self.high
            made = torch.randint(int(low), int(high), shape, generator=generator, device="cpu").to(self.dtype)
        return made.to(device)


@dataclass(frozen=True)
class Arguments:
    """The arguments of a call: ``Arguments((ids,), {"mask": mask})``.

    Args:
        args: the positional ones: tensors, containers of them, or anything else.
        kwargs: those by keyword.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, inputs: "Inputs") -> "Arguments":
        """Return inputs as arguments; see ``Inputs``."""
        if isinstance(inputs, Arguments):
            return inputs
        if isinstance(inputs, Mapping):
            return cls((), inputs)
        return cls(tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,))

    def call(self, function: Callable[..., Any]) -> Any:
        """Call a network, or any other function."""
        return function(*self.args, **self.kwargs)

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors, in order."""
        return [leaf for leaf in leaves(self) if isinstance(leaf, Tensor)]

    @property
    def n_examples(self) -> int:
        """Size of the batch: the first dimension of the first tensor; 0 without any."""
        return next((len(tensor) for tensor in self.tensors if tensor.ndim), 0)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Arguments":
        """Apply a function to each tensor."""
        return mapped(self, lambda leaf: function(leaf) if isinstance(leaf, Tensor) else leaf)

    def map_real(self, function: Callable[[Tensor], Tensor]) -> "Arguments":
        """Apply a function to each tensor of real numbers, which unlike token ids can be changed a little."""
        return self.map(lambda tensor: function(tensor) if tensor.is_floating_point() else tensor)

    def part(self, chosen: slice) -> "Arguments":
        """Return some of the examples."""
        return Arguments.of(part_of(self, chosen))

    def to(self, device: str | torch.device) -> "Arguments":
        """Return the arguments on a device."""
        return self.map(lambda tensor: tensor.to(device))


Inputs = Union[Tensor, tuple[Any, ...], list[Any], Mapping[str, Any], Arguments]  # noqa: UP007  # a forward reference
"""Inputs of a network: a tensor is its only argument, a tuple or list holds the positional arguments, a mapping those
by keyword; ``Arguments`` mixes both, and can hold a list or a mapping that is one argument."""

InputSpec = Union[TensorSpec, Inputs, Callable[[int], Inputs]]  # noqa: UP007
"""Description of inputs: of the structure of ``Inputs``, with a ``TensorSpec`` or an example, whose first dimension is
the batch, for each tensor; or a function that makes a batch of a size."""


def mapped(value: T, function: Callable[[Any], Any]) -> T:
    """Return a structure with the function's value for each leaf; the entries of mappings are in the order of names.

    Containers are lists, tuples, mappings and arguments.
    """
    result: Any
    if isinstance(value, Arguments):
        result = Arguments(mapped(value.args, function), mapped(dict(value.kwargs), function))
    elif isinstance(value, Mapping):
        result = {key: mapped(value[key], function) for key in sorted(value, key=str)}
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        result = type(value)(*(mapped(item, function) for item in value))
    elif isinstance(value, list | tuple):
        result = type(value)(mapped(item, function) for item in value)
    else:
        result = function(value)
    return result  # type: ignore[no-any-return]


def part_of(inputs: Inputs, chosen: slice, n_examples: int | None = None) -> Inputs:
    """Return some of the examples, in the structure of the inputs.

    Args:
        inputs: a batch; or targets of one, of any structure.
        chosen: the examples.
        n_examples: size of the batch, where it does not follow from ``inputs``.
    """
    n = Arguments.of(inputs).n_examples if n_examples is None else n_examples

    def cut(leaf: Any) -> Any:
        return leaf[chosen] if isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == n else leaf

    return mapped(inputs, cut)


def leaves(value: object) -> Iterator[Any]:
    """Yield the leaves of a structure, in order."""
    found: list[Any] = []
    mapped(value, found.append)
    yield from found


def spec_of(inputs: Inputs) -> Inputs:
    """Return the description of given inputs: in the place of each tensor its shape without the batch, and its type."""
    return mapped(inputs, lambda leaf: TensorSpec(leaf.shape[1:], leaf.dtype) if isinstance(leaf, Tensor) else leaf)


def as_spec(given: InputSpec | Sequence[int]) -> InputSpec:
    """Return a description of inputs; a sequence of numbers is the shape of one tensor of real numbers."""
    if isinstance(given, Sequence) and all(isinstance(size, int) for size in given):
        return TensorSpec(given)
    return given  # type: ignore[return-value]


def make_example(
    spec: InputSpec, batch_size: int = 1, device: str | torch.device = "cpu", seed: int = 0, *, smallest: bool = False
) -> Inputs:
    """Make a batch of examples.

    Args:
        spec: describes them.
        batch_size: number of examples; given ones are repeated or cut.
        device: device of the batch.
        seed: of random values, which are uniform in the range of a ``TensorSpec``.
        smallest: True for the smallest size of each dimension that varies.
    """
    device, generator = torch.device(device), torch.Generator().manual_seed(seed)

    def make(leaf: Any) -> Any:
        if isinstance(leaf, TensorSpec):
            return leaf.example(batch_size, device, generator, smallest=smallest)
        if not isinstance(leaf, Tensor):
            return leaf
        if leaf.ndim and len(leaf) != batch_size:
            leaf = leaf[torch.arange(batch_size, device=leaf.device) % len(leaf)]
        return leaf.to(device)

    if callable(spec):
        return mapped(spec(batch_size), lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf)
    return mapped(spec, make)  # type: ignore[return-value]


def varies(spec: InputSpec) -> bool:
    """Return True if a dimension of an input varies."""
    specs = [leaf for leaf in leaves(spec) if isinstance(leaf, TensorSpec)]
    return any(each.sizes() != each.sizes(smallest=True) for each in specs)


def describe(spec: InputSpec) -> str:
    """Return a description of inputs in one line, such as "int64 (12,), mask=bool (12,)"."""
    if callable(spec):
        return f"{getattr(spec, '__module__', '')}:{getattr(spec, '__qualname__', type(spec).__name__)}"
    given = Arguments.of(spec)  # type: ignore[arg-type]
    return ", ".join([*map(_text, given.args), *(f"{name}={_text(value)}" for name, value in given.kwargs.items())])


def _text(value: object) -> str:
    if isinstance(value, Tensor):
        return _description(value.dtype, tuple(value.shape[1:]))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_text(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_text, value)) + "]"
    return str(value)


def _description(dtype: torch.dtype, shape: Sequence[Dimension]) -> str:
    sizes = [str(size) if isinstance(size, int) else f"{size[0]}..{size[1]}" for size in shape]
    return f"{str(dtype).removeprefix('torch.')} ({', '.join(sizes)}{',' * (len(sizes) == 1)})"
