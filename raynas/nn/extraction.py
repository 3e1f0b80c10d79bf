"""Closing an opened model: a deep copy in which every choice becomes the plain module of its option."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from torch import nn

from raynas.core.architecture import Option
from raynas.errors import SpaceError


@dataclass(frozen=True, eq=False)
class Closing:
    """What a deep copy of an opened model needs to make a subnet of it.

    A deep copy keeps whatever references the user's modules hold to each other, and copies only what is chosen.

    Args:
        options: of each decision.
        widths: how many channels come into each elastic layer that the subnet reaches.
        copy: whether tensors are copied; otherwise the subnet shares them wherever its own are whole or slices.
    """

    options: Mapping[str, Option]
    widths: Mapping[nn.Module, int]
    copy: bool = True

    def option(self, name: str) -> Option:
        """The option of a decision.

        Raises:
            SpaceError: if there is none.
        """
        if name not in self.options:
            raise SpaceError(f"the architecture lacks decision {name!r}")
        return self.options[name]


_CLOSING: ContextVar[Closing | None] = ContextVar("closing", default=None)


@contextmanager
def closing(instructions: Closing) -> Iterator[None]:
    """Let deep copies close what they copy until the context ends."""
    token = _CLOSING.set(instructions)
    try:
        yield
    finally:
        _CLOSING.reset(token)


def current_closing() -> Closing | None:
    """The closing under way; None if a deep copy is only a copy."""
    return _CLOSING.get()


def plain_deepcopy(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """A deep copy as if the class had no ``__deepcopy__``."""
    clone = type(module).__new__(type(module))
    memo[id(module)] = clone
    clone.__dict__.update(copy.deepcopy(module.__dict__, memo))
    return clone
