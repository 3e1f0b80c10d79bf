"""Groups that may vary in a fixed ratio alone: a residual width, and the heads whose width is computed from it."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from raynas.converting.groups import Group, Slot, listed, products
from raynas.nn.dimensions.expressions import atoms


def ties_of(groups: Sequence[Group]) -> Iterator[Group]:
    """Yield residual widths with the attention heads that together are as wide, tied to them.

    Code such as ``q.view(n, t, self.n_head, width // self.n_head)`` allows fewer heads where the residual width shrinks
    in the same ratio, so that the width of a head stays. Where the number of heads is a constant of the code, each
    head narrows instead: that tie of the same residual width comes second. At last come groups alike in several blocks.

    Args:
        groups: those that could vary.
    """
    for width in groups:
        if width.kind == "width":
            for kind in ("heads", "head_width"):
                tied = tuple(group for group in groups if group.kind == kind and _is_as_wide(group, width))
                if tied:
                    yield replace(width, tied=tied)
    yield from _alike(groups)


def _alike(groups: Sequence[Group]) -> Iterator[Group]:
    """Yield groups of one size in blocks of a kind, tied to the first of them: they may share a number in settings."""
    rows: dict[tuple[str, int], list[Group]] = {}
    for group in groups:
        pattern = re.sub(r"(?<=\.)\d+(?=\.)", "*", f".{group.name}")
        rows.setdefault((pattern, group.size), []).append(group)
    for first, *others in rows.values():
        if others:
            yield replace(first, tied=tuple(others))


def reason(tie: Group, error: str | None) -> str | None:
    """Return the reason why a group of a tie does not vary alone; None if the tie tells nothing of it.

    Args:
        tie: the residual width and what is tied to it.
        error: the reason why it does not vary either; None if it does.
    """
    if any(each.kind == tie.kind for each in tie.tied):
        shared = f"{tie.name} and {listed([group.name for group in tie.tied])} vary only together"
        return None if error else f"they share a number in the model's code: {shared}"
    if error is None:
        return f"the width of heads is computed from {tie.name} and their number: they vary only together"
    return f"neither alone, nor {tie.name} together with {listed([group.name for group in tie.tied])}: {error}"


def _is_as_wide(group: Group, width: Group) -> bool:
    """Return True if a layer between the residual width and the heads makes as many features as that has."""
    layers = {slot.layer for slot in width.slots}
    return any(slot.layer in layers and width.size in _widths(slot, group) for slot in group.slots)


def _widths(slot: Slot, group: Group) -> list[int]:
    """Return the sizes of the products that a group is in, with and without what cannot vary.

    Queries that share a key are numbered by what cannot vary, as queries, keys and values of one layer are.
    """
    inside = [list(atoms(found)) for found in products(slot.dimension, group.atom)]
    varying = [[atom for atom in each if not atom.frozen] for each in inside]
    return [math.prod(atom.size for atom in each) for each in (*inside, *varying)]
