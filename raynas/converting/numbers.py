"""Numbers in the user's modules, and in the settings that they hold, that may be sizes of a group."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

from torch import Tensor, nn

from raynas.converting.groups import Group
from raynas.converting.members import Number, Scale, holder_of
from raynas.nn.dimensions.expressions import Dimension, atoms, parts


def numbers_around(model: nn.Module, group: Group, known: Collection[Number]) -> list[Number]:
    """Return the numbers around the group, and those tied to it, that may be sizes of it.

    Args:
        model: the given one.
        group: the group.
        known: numbers that are found already.
    """
    taken = {_place(model, number) for number in known}
    found: dict[tuple[int, str], Number] = {}
    for each in group.all:
        sizes = _sizes(each)
        for path, name, value in _attributes_around(model, each):
            if type(value) is int and value in sizes:
                number = Number(path, name, sizes[value])
                found.setdefault(_place(model, number), number)
    return [number for place, number in found.items() if place not in taken]


def scales_around(model: nn.Module, group: Group) -> list[Scale]:
    """Return the scales around the group that are powers of the width of its heads."""
    if group.kind != "head_width":
        return []
    return [
        Scale(path, name, group.atom, exponent)
        for path, name, value in _attributes_around(model, group)
        for exponent in (-0.5, 0.5, -1.0)
        if type(value) is float and "scal" in name and math.isclose(value, group.size**exponent)
    ]


def groupings(numbers: Sequence[Number], *, is_tied: bool) -> Iterator[list[Number]]:
    """Yield subsets of numbers that may be the sizes of a group: all, then all but some; first without settings.

    One of them may be another width of the same size; often it is so in each of several blocks.

    Args:
        numbers: all of them.
        is_tied: True for a group with others tied to it, whose numbers are many.
    """
    own = [number for number in numbers if not number.is_setting]
    for those in [own, numbers] if len(own) < len(numbers) else [own]:
        names = dict.fromkeys(number.name for number in those)
        alike = [[number for number in those if number.name == name] for name in names]
        alone = [] if is_tied else [[number] for number in those]
        for left_out in ([], *alone, *alike) if those else ():
            yield [number for number in those if number not in left_out]


def _place(model: nn.Module, number: Number) -> tuple[int, str]:
    """Return an identity of a number, which modules with the same settings share."""
    holder, last = holder_of(model, number)
    return id(holder), last


def _attributes_around(model: nn.Module, group: Group) -> Iterator[tuple[str, str, object]]:
    """Yield path of the module, name and value of attributes; those of settings as "config.n_head"."""
    layers = set(group.layers)
    parents = {path.rpartition(".")[0] for path in layers}
    for path in sorted(layers | parents | {path.rpartition(".")[0] for path in parents}):
        module = model.get_submodule(path)
        if not type(module).__module__.startswith("torch.nn"):
            for name, value in vars(module).items():
                yield path, name, value
                yield from ((path, f"{name}.{inner}", number) for inner, number in _settings(name, value))


def _settings(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield the numbers that an object or a dict of the user's holds."""
    is_own = not name.startswith("_") and not isinstance(value, nn.Module | Tensor | type) and not callable(value)
    held = value if isinstance(value, dict) else getattr(value, "__dict__", {}) if is_own else {}
    if is_own and isinstance(held, Mapping):
        yield from ((key, number) for key, number in held.items() if isinstance(key, str) and "." not in key)


def _sizes(group: Group) -> dict[int, Dimension]:
    """Return the group and the dimensions that it is part of, by their size."""
    inside = [part for slot in group.slots for part in parts(slot.dimension) if group.atom in atoms(part)]
    return {part.size: part for part in reversed(inside)} | {group.size: group.atom}
