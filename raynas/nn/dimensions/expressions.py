"""Dimensions of tensors as sums and products of groups of indices, and their unification.

A channel dimension is an unknown ``Atom``. Where a model concatenates, it becomes a ``Sum`` of the parts, and where a
view splits it, as into heads, a ``Product`` of an outer and an inner part. Two dimensions that an operation pairs are
unified: the same indices are kept in both. What cannot be expressed this way is frozen, with the reason.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

POSITIONS = "it goes with positions, or with a number in the model's code"
"""Reason why a dimension is fixed that no weight has."""


class Atom:
    """A set of indices that may be removed one by one, unless it is frozen or was found to have parts.

    Args:
        size: number of indices.
        frozen: the reason why it cannot vary; None if it can.
    """

    def __init__(self, size: int, frozen: str | None = None) -> None:
        self.size = size
        self.frozen = frozen
        self.value: Dimension | None = None


@dataclass(frozen=True, eq=False)
class Product:
    """Indices that are pairs (triples, …) of indices, the first one outermost."""

    factors: tuple["Dimension", ...]

    @property
    def size(self) -> int:
        """Number of indices."""
        return math.prod(factor.size for factor in self.factors)


@dataclass(frozen=True, eq=False)
class Sum:
    """Indices of one dimension after those of another."""

    terms: tuple["Dimension", ...]

    @property
    def size(self) -> int:
        """Number of indices."""
        return sum(term.size for term in self.terms)


Dimension = Atom | Product | Sum


def resolved(dimension: Dimension) -> Dimension:
    """Return what is known of a dimension."""
    while isinstance(dimension, Atom) and dimension.value is not None:
        dimension = dimension.value
    return dimension


def factors(dimension: Dimension) -> list[Dimension]:
    """Return the factors of a dimension, without those of size 1; a dimension that is no product is its only one."""
    dimension = resolved(dimension)
    if isinstance(dimension, Product):
        return [inner for factor in dimension.factors for inner in factors(factor)]
    return [dimension] if dimension.size != 1 else []


def terms(dimension: Dimension) -> list[Dimension]:
    """Return the terms of a dimension; one that is no sum is its only one."""
    dimension = resolved(dimension)
    return [inner for term in dimension.terms for inner in terms(term)] if isinstance(dimension, Sum) else [dimension]


def product(parts: Sequence[Dimension]) -> Dimension:
    """Return a product; of a single factor the factor itself."""
    flat = [inner for part in parts for inner in factors(part)]
    return flat[0] if len(flat) == 1 else Product(tuple(flat)) if flat else fixed(1)


def total(parts: Sequence[Dimension]) -> Dimension:
    """Return a sum; of a single term the term itself."""
    flat = [inner for part in parts for inner in terms(part) if inner.size]
    return flat[0] if len(flat) == 1 else Sum(tuple(flat)) if flat else fixed(0)


def fixed(size: int, reason: str = POSITIONS) -> Atom:
    """Return a dimension that cannot vary."""
    return Atom(size, reason)


def atoms(dimension: Dimension) -> Iterator[Atom]:
    """Yield the atoms of a dimension, outer ones first."""
    dimension = resolved(dimension)
    if isinstance(dimension, Atom):
        yield dimension
    else:
        for part in dimension.factors if isinstance(dimension, Product) else dimension.terms:
            yield from atoms(part)


def parts(dimension: Dimension) -> Iterator[Dimension]:
    """Yield a dimension and all that it is made of, from the outside in."""
    dimension = resolved(dimension)
    yield dimension
    if not isinstance(dimension, Atom):
        for part in dimension.factors if isinstance(dimension, Product) else dimension.terms:
            yield from parts(part)


def freeze(dimension: Dimension, reason: str) -> None:
    """Keep a dimension from varying; the first reason stays."""
    for atom in atoms(dimension):
        atom.frozen = atom.frozen or reason


def unify(a: Dimension, b: Dimension) -> None:
    """Make two dimensions of one size keep the same indices."""
    a, b = resolved(a), resolved(b)
    if a is b:
        return
    if a.size != b.size:
        _give_up((a, b))
    elif isinstance(a, Atom) or isinstance(b, Atom):
        _bind(*((a, b) if isinstance(a, Atom) else (b, a)))
    elif isinstance(a, Sum) and isinstance(b, Sum):
        _align_terms(terms(a), terms(b))
    elif isinstance(a, Product) and isinstance(b, Product):
        _align_factors(factors(a), factors(b))
    else:
        _repeated(*((a, b) if isinstance(a, Sum) else (b, a)))


def _bind(atom: Atom, other: Dimension) -> None:
    if not isinstance(other, Atom) and any(part is atom for part in atoms(other)):
        _give_up((other,))
        return
    if atom.frozen:
        freeze(other, atom.frozen)
    atom.value = other


def _give_up(parts: Sequence[Dimension]) -> None:
    for part in parts:
        freeze(part, "sizes that fit in no simple way")


def _align_factors(left: list[Dimension], right: list[Dimension]) -> None:
    while left and right:
        a, b = left.pop(0), right.pop(0)
        if a.size > b.size and a.size % b.size == 0:
            a, rest = split(a, b.size)
            left.insert(0, rest)
        elif b.size > a.size and b.size % a.size == 0:
            b, rest = split(b, a.size)
            right.insert(0, rest)
        elif a.size != b.size:
            _give_up((a, b, *left, *right))
            return
        unify(a, b)


def _align_terms(left: list[Dimension], right: list[Dimension]) -> None:
    while left and right:
        a, b = left.pop(0), right.pop(0)
        if a.size > b.size:
            a, rest = cut(a, b.size)
            left.insert(0, rest)
        elif b.size > a.size:
            b, rest = cut(b, a.size)
            right.insert(0, rest)
        unify(a, b)


def _repeated(summed: Sum, multiplied: Product) -> None:
    """Unify a sum of equal terms with a product, whose first factor then numbers the terms."""
    parts, (first, *rest) = terms(summed), factors(multiplied)
    if first.size == len(parts) and len({part.size for part in parts}) == 1:
        freeze(first, "it numbers parts of different meaning")
        for part in parts:
            unify(part, product(rest))
    else:
        _give_up((summed, multiplied))


def split(dimension: Dimension, outer: int) -> tuple[Dimension, Dimension]:
    """Return an outer and an inner part of a dimension that a view splits.

    Args:
        dimension: no product.
        outer: size of the outer part, which divides that of the dimension.
    """
    dimension = resolved(dimension)
    inner = dimension.size // outer
    if isinstance(dimension, Product):
        return _split_product(dimension, outer)
    if isinstance(dimension, Atom):
        parts = Atom(outer, dimension.frozen), Atom(inner, dimension.frozen)
        dimension.value = Product(parts)
        return parts
    equal = terms(dimension)
    if len(equal) == outer and len({term.size for term in equal}) == 1:
        for term in equal[1:]:
            unify(equal[0], term)
        return fixed(outer, "it numbers parts of different meaning"), equal[0]
    freeze(dimension, "a view splits what was concatenated")
    return fixed(outer), fixed(inner)


def _split_product(dimension: Product, outer: int) -> tuple[Dimension, Dimension]:
    taken, rest = take(factors(dimension), outer)
    return product(taken), product(rest)


def take(parts: list[Dimension], size: int) -> tuple[list[Dimension], list[Dimension]]:
    """Return the outermost factors that have a size together, and the rest; one of them may have to be split."""
    taken: list[Dimension] = []
    parts = list(parts)
    while size > 1:
        part = parts.pop(0)
        if size % part.size == 0:
            size //= part.size
        elif part.size % size == 0:
            part, rest = split(part, size)
            parts.insert(0, rest)
            size = 1
        else:
            whole = math.prod(p.size for p in (part, *parts))
            _give_up((part, *parts))
            return [*taken, fixed(size)], [fixed(whole // size)]
        taken.append(part)
    return taken, parts


def cut(dimension: Dimension, at: int) -> tuple[Dimension, Dimension]:
    """Return the indices before and from a position."""
    dimension = resolved(dimension)
    if at in (0, dimension.size):
        return (dimension, fixed(0)) if at else (fixed(0), dimension)
    if isinstance(dimension, Sum):
        return _cut_terms(terms(dimension), at)
    if isinstance(dimension, Atom):
        parts = Atom(at, dimension.frozen), Atom(dimension.size - at, dimension.frozen)
        dimension.value = Sum(parts)
        return parts
    outer, *inner = factors(dimension)
    width = math.prod(factor.size for factor in inner)
    if at % width:
        _give_up((dimension,))
        return fixed(at), fixed(dimension.size - at)
    before, after = cut(outer, at // width)
    return product([before, *inner]), product([after, *inner])


def _cut_terms(parts: list[Dimension], at: int) -> tuple[Dimension, Dimension]:
    before: list[Dimension] = []
    while at and parts:
        part = parts.pop(0)
        if part.size > at:
            part, rest = cut(part, at)
            parts.insert(0, rest)
        at -= part.size
        before.append(part)
    return total(before), total(parts)


Kept = Mapping[Atom, Tensor]
"""The indices that are kept of atoms; of all others, every index is. A wider network has copies of an index."""


def positions(dimension: Dimension, kept: Kept) -> Tensor:
    """Return the positions that are kept of a dimension."""
    dimension = resolved(dimension)
    if isinstance(dimension, Atom):
        return kept[dimension] if dimension in kept else torch.arange(dimension.size, device="cpu")
    if isinstance(dimension, Sum):
        offsets = [sum(term.size for term in dimension.terms[:i]) for i in range(len(dimension.terms))]
        return torch.cat([positions(t, kept) + offset for t, offset in zip(dimension.terms, offsets, strict=True)])
    found = torch.zeros(1, dtype=torch.long, device="cpu")
    for factor in dimension.factors:
        found = (found[:, None] * factor.size + positions(factor, kept)).flatten()
    return found


def size_of(dimension: Dimension, kept: Kept) -> int:
    """Return the number of positions that are kept of a dimension."""
    dimension = resolved(dimension)
    if isinstance(dimension, Atom):
        return len(kept[dimension]) if dimension in kept else dimension.size
    if isinstance(dimension, Sum):
        return sum(size_of(term, kept) for term in dimension.terms)
    return math.prod(size_of(factor, kept) for factor in dimension.factors)
