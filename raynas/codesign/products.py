"""Matrix products that a network consists of, read off a forward pass on the meta device."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import flop_registry

from raynas.core.inputs import Inputs
from raynas.errors import RaynasError
from raynas.metrics.mac_counter import MacCounter, macs_of


@dataclass(frozen=True)
class Window:
    """The shape of a convolution, which a product leaves out: rows and columns of filters and of the output.

    Args:
        rows: of a filter.
        cols: of a filter.
        out_rows: of the output; those of all planes of three dimensions.
        out_cols: of the output.
    """

    rows: int
    cols: int
    out_rows: int
    out_cols: int


@dataclass(frozen=True)
class MatrixProduct:
    """Products of an ``(m, k)`` matrix of inputs with a ``(k, n)`` matrix of weights, for a systolic array.

    A convolution is one with m positions of the output, n filters, and k weights in a filter (Samajdar et al. 2020).
    One in groups, and an attention of several heads, is a product for each of them.

    Args:
        m: number of positions.
        n: number of filters.
        k: number of weights in a filter.
        groups: number of products of this size.
        n_inputs: numbers that the inputs of one product consist of: fewer than ``m * k`` where windows overlap. 0 for
            ``m * k``.
        window: the shape of a convolution; None for another product.
    """

    m: int
    n: int
    k: int
    groups: int = 1
    n_inputs: int = 0
    window: Window | None = None

    @property
    def macs(self) -> int:
        """The multiply-adds of all groups."""
        return self.m * self.n * self.k * self.groups

    @property
    def elements(self) -> Mapping[str, int]:
        """The numbers of one product in memory, by operand."""
        return {"input": self.n_inputs or self.m * self.k, "weight": self.k * self.n, "output": self.m * self.n}


def products_of(model: nn.Module, example: Callable[[], Inputs]) -> list[MatrixProduct]:
    """Return the matrix products of a forward pass in eval mode, in order; the model is left as it was.

    Args:
        model: on any device.
        example: makes the inputs, on the meta device.

    Raises:
        RaynasError: if the model cannot run without values, or has a product of an unknown kind.
    """
    trace = _Trace()
    macs_of(model, example, trace)
    return trace.products


class _Trace(MacCounter):
    """Notes the matrix products of the operations that run under it."""

    def __init__(self) -> None:
        super().__init__({})
        self.products: list[MatrixProduct] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        operation = func.overloadpacket
        if operation in _READ:
            self.products += [product for product in _READ[operation](args, result) if product.macs]
        elif operation in flop_registry:
            raise RaynasError(f"operation {operation} is no convolution, matrix product or attention that is modelled")
        return result


def _convolution(args: Sequence[Any], result: torch.Tensor) -> Iterator[MatrixProduct]:
    images, weight, transposed, groups = args[0], args[1], args[6], args[8]
    if transposed:  # each position of the input is multiplied with a filter, and the products are added up
        per_group = images.shape[1] // groups
        m, n, k = images.numel() // images.shape[1], weight.numel() // weight.shape[0], per_group
        window = None
    else:
        m, n = result.numel() // result.shape[1], result.shape[1] // groups
        k = prod(weight.shape[1:])
        rows = weight.shape[-2] if weight.ndim > 3 else 1
        window = Window(rows, weight.shape[-1], m // result.shape[-1], result.shape[-1])
    yield MatrixProduct(m, n, k, groups, min(m * k, images.numel() // groups), window)


def _product(first: int) -> Callable[[Sequence[Any], object], Iterator[MatrixProduct]]:
    """Return what reads a product of the argument of an index with the next one, of matrices or batches of them."""

    def read(args: Sequence[Any], result: object) -> Iterator[MatrixProduct]:
        left, right = args[first], args[first + 1]
        yield MatrixProduct(left.shape[-2], right.shape[-1], left.shape[-1], prod(left.shape[:-2]))

    return read


def _attention(args: Sequence[Any], result: object) -> Iterator[MatrixProduct]:
    query, key, value = args[:3]
    heads = prod(query.shape[:-2])
    yield MatrixProduct(query.shape[-2], key.shape[-2], query.shape[-1], heads)
    yield MatrixProduct(query.shape[-2], value.shape[-1], key.shape[-2], heads)


_ATEN = torch.ops.aten

_READ: Mapping[object, Callable[[Sequence[Any], Any], Iterator[MatrixProduct]]] = {
    _ATEN.convolution: _convolution,
    _ATEN.mm: _product(0),
    _ATEN.bmm: _product(0),
    _ATEN.addmm: _product(1),
    _ATEN.baddbmm: _product(1),
    **{
        operation: _attention
        for operation in flop_registry
        if "scaled_dot_product" in str(operation) and "backward" not in str(operation)
    },
}
"""The operations that are products."""
