"""Groups of channels, heads or features that vary together, read off a trace."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from torch import Tensor, nn

from raynas.nn.dimensions.expressions import Atom, Dimension, Product, Sum, atoms, resolved

MAX_LISTED = 2
"""Number of names that are listed; the others are counted."""


@dataclass(frozen=True, eq=False)
class Slot:
    """A dimension of a parameter in which a group occurs.

    Args:
        name: dotted name of the parameter.
        tensor: the parameter.
        axis: the dimension.
        dimension: its expression.
        transposed: True for the weight of a transposed convolution, whose inputs come first.
    """

    name: str
    tensor: Tensor
    axis: int
    dimension: Dimension
    transposed: bool = False

    @property
    def layer(self) -> str:
        """Dotted path of the layer that holds the parameter, maybe in a parametrization of its weight."""
        return self.name.rpartition(".")[0].partition("parametrizations.")[0].rstrip(".")

    @property
    def produces(self) -> bool:
        """True if the group is what the layer puts out, or a number for each of it."""
        return self.axis == int(self.transposed)


@dataclass(frozen=True, eq=False)
class Group:
    """Indices that vary together.

    Args:
        name: of its decision: the first layer that produces it, and what it is of that.
        atom: its indices.
        slots: where it occurs.
        readers: paths of the layers that read it and do not put it out.
        tied: other groups whose sizes stay in a fixed ratio to its own; see ``ties_of``.
    """

    name: str
    atom: Atom
    slots: Sequence[Slot]
    readers: frozenset[str] = frozenset()
    tied: tuple["Group", ...] = ()

    @property
    def size(self) -> int:
        """Number of indices in the given model."""
        return self.atom.size

    @property
    def kind(self) -> str:
        """One of width, heads, head_width, groups and group_width."""
        return self.name.rpartition(".")[2].rstrip("0123456789")

    @property
    def all(self) -> tuple["Group", ...]:
        """The group and those tied to it."""
        return (self, *self.tied)

    @property
    def layers(self) -> list[str]:
        """Paths of the layers in which it occurs, or a group that is tied to it."""
        return list(dict.fromkeys(slot.layer for group in self.all for slot in group.slots))

    @property
    def outputs(self) -> list[str]:
        """Paths of the layers in which it occurs and that do more than read it."""
        return [path for path in dict.fromkeys(slot.layer for slot in self.slots) if path not in self.readers]

    @property
    def is_coarse(self) -> bool:
        """True if an index of it, or of a group that is tied to it, is many channels, as a head is."""
        return any(group.kind in ("heads", "groups") for group in self.all)

    def step(self, divisor: int) -> int:
        """Return the number of which reduced sizes are multiples: ratios stay, and the divisor holds if not coarse."""
        least = self.size // math.gcd(*(group.size for group in self.all))
        return least if self.is_coarse else math.lcm(least, divisor)

    def sizes(self, size: int) -> dict[Atom, int]:
        """Return the number of indices kept of the group, which is ``size``, and of those tied to it."""
        return {group.atom: size * group.size // self.size for group in self.all}

    def matches(self, patterns: Sequence[str]) -> bool:
        """Return True if a glob names the group, one tied to it, or a layer that puts it out or has it inside.

        The path of a module names all layers in it. A layer that only reads the group does not count.
        """
        names = [name for group in self.all for name in (group.name, *group.outputs)]
        return any(matches(name, pattern) for pattern in patterns for name in names)


def matches(path: str, pattern: str) -> bool:
    """Return True if a glob names a module, or one that holds it."""
    return fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}.*")


def listed(names: Sequence[str]) -> str:
    """Return the first names, and the number of the others."""
    more = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")


def groups_of(
    model: nn.Module, dimensions: Mapping[str, tuple[Dimension, ...]], reads: Mapping[str, Collection[Atom]]
) -> list[Group]:
    """Return all groups, also frozen ones, in the order of the parameters.

    Args:
        model: the given one.
        dimensions: of its parameters, by name.
        reads: indices that a layer reads and does not put out, by its path.
    """
    slots: dict[Atom, list[Slot]] = {}
    for name, tensor in model.named_parameters():
        for axis, dimension in enumerate(dimensions.get(name, ())):
            slot = Slot(name, tensor, axis, dimension)
            layer = model.get_submodule(slot.layer)
            transposed = tensor.ndim > 1 and isinstance(layer, nn.modules.conv._ConvTransposeNd)
            for atom in dict.fromkeys(atoms(dimension)):
                if atom.size > 1:
                    slots.setdefault(atom, []).append(replace(slot, transposed=transposed))
    names: dict[Atom, str] = {}
    for atom in sorted(slots, key=lambda atom: atom.frozen is not None):  # What varies gets the simple names.
        names[atom] = _unique(_name(atom, slots[atom], model), set(names.values()))
    return [
        Group(names[atom], atom, found, frozenset(path for path, read in reads.items() if atom in read))
        for atom, found in slots.items()
    ]


def _unique(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    return next(f"{name}{i}" for i in range(2, len(taken) + 3) if f"{name}{i}" not in taken)


def _name(atom: Atom, slots: Sequence[Slot], model: nn.Module) -> str:
    first = next((slot for slot in slots if slot.produces and slot.tensor.ndim > 1), slots[0])
    path = first.layer or "model"
    whole = resolved(first.dimension)
    inside = next(products(whole, atom), None)
    if inside is None:
        return f"{path}.width"
    outer = next(a for a in atoms(inside) if not a.frozen or a is atom) is atom
    grouped = isinstance(model.get_submodule(first.layer), nn.modules.conv._ConvNd)
    return f"{path}.{('groups' if outer else 'group_width') if grouped else ('heads' if outer else 'head_width')}"


def products(dimension: Dimension, atom: Atom) -> Iterator[Product]:
    """Yield the products in which an atom is one of several factors that could vary."""
    dimension = resolved(dimension)
    if isinstance(dimension, Sum):
        for term in dimension.terms:
            yield from products(term, atom)
    elif isinstance(dimension, Product):
        inside = list(atoms(dimension))
        if atom in inside and len([a for a in inside if not a.frozen or a is atom]) > 1:
            yield dimension
