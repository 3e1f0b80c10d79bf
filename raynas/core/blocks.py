"""Blocks: the parts of an architecture that a progressive search adds one after another."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, runtime_checkable

import numpy as np

from raynas.core.architecture import Option
from raynas.core.decision import Decision
from raynas.core.space import SearchSpace

_NUMBERED = re.compile(r"(?:.+\.)?\d+(?=\.|$)")


@dataclass(frozen=True, kw_only=True)
class Block:
    """Decisions that are taken together.

    Args:
        names: names of the decisions.
        rest: options of later decisions while this block is the last one; the first option of those not named.
    """

    names: tuple[str, ...]
    rest: Mapping[str, Option] = field(default_factory=dict)


@runtime_checkable
class InBlocks(Protocol):
    """A space that says how its architectures grow."""

    def blocks(self) -> Sequence[Block]:
        """Return the blocks in the order in which they are added."""


def blocks_of(space: SearchSpace) -> list[Block]:
    """Return the blocks of a space, then each hyperparameter that is searched jointly as another.

    A space without ``blocks`` has one for the decisions whose names agree up to their last part that is a number
    (``layers.2.width`` and ``layers.2.kernel``), and one for each other decision.
    """
    inner = space.architecture_space
    blocks = list(inner.blocks()) if isinstance(inner, InBlocks) else _named(inner.decisions)
    known = {name for block in blocks for name in block.names}
    return [*blocks, *(Block(names=(d.name,)) for d in space.decisions if d.name not in known)]


def in_turn(parts: Sequence[Mapping[str, Option]]) -> list[Block]:
    """Return blocks that are added one after another.

    Args:
        parts: of each block, the decisions with the options that they have before it is added.
    """
    return [
        Block(names=tuple(part), rest={name: option for later in parts[i + 1 :] for name, option in later.items()})
        for i, part in enumerate(parts)
    ]


def _named(decisions: Sequence[Decision]) -> list[Block]:
    found: dict[str, list[str]] = {}
    for decision in decisions:
        numbered = _NUMBERED.match(decision.name)
        found.setdefault(numbered[0] if numbered else decision.name, []).append(decision.name)
    return [Block(names=tuple(names)) for names in found.values()]


def extensions(
    decisions: Sequence[Decision], options: Mapping[str, Option], n_most: int, rng: np.random.Generator
) -> list[dict[str, Option]]:
    """Return the ways to take decisions after others; if there are more than ``n_most``, so many random ones.

    Args:
        decisions: those to take, in order.
        options: those taken before.
        n_most: the maximum number.
        rng: draws them if there are more.
    """
    found = list(islice(_all_extensions(decisions, options), n_most + 1))
    if len(found) <= n_most:
        return found
    return [_random_extension(decisions, options, rng) for _ in range(n_most)]


def _all_extensions(decisions: Sequence[Decision], options: Mapping[str, Option]) -> Iterator[dict[str, Option]]:
    if not decisions:
        yield dict(options)
        return
    first, *others = decisions
    if not first.is_active(options):
        yield from _all_extensions(others, options)
        return
    for option in first.options:
        yield from _all_extensions(others, {**options, first.name: option})


def _random_extension(
    decisions: Sequence[Decision], options: Mapping[str, Option], rng: np.random.Generator
) -> dict[str, Option]:
    taken = dict(options)
    for decision in decisions:
        if decision.is_active(taken):
            taken[decision.name] = decision.sample(rng)
    return taken
