"""Extraction of a subnet: a deep copy of a supernet in which every choice becomes the plain module of its option."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from torch import nn

from raynas.core.architecture import Option
from raynas.errors import SpaceError


@dataclass(frozen=True, eq=False)
class Extraction:
    """Instructions for a deep copy of an expanded model that makes a subnet.

    A deep copy keeps the references between a user's modules, and copies only the chosen branches.

    Args:
        options: of each decision.
        widths: number of input channels of each elastic layer that the subnet reaches.
        copy: True to copy tensors; False to share those that the subnet uses whole or sliced.
    """

    options: Mapping[str, Option]
    widths: Mapping[nn.Module, int]
    copy: bool = True

    def option(self, name: str) -> Option:
        """Return the option of a decision.

        Raises:
            SpaceError: if there is none.
        """
        if name not in self.options:
            raise SpaceError(f"the architecture lacks decision {name!r}")
        return self.options[name]


_EXTRACTION: ContextVar[Extraction | None] = ContextVar("extraction", default=None)


@contextmanager
def extracting(instructions: Extraction) -> Iterator[None]:
    """Let deep copies follow the instructions until the context ends."""
    token = _EXTRACTION.set(instructions)
    try:
        yield
    finally:
        _EXTRACTION.reset(token)


def current_extraction() -> Extraction | None:
    """Return the current instructions; None if a deep copy is an ordinary one."""
    return _EXTRACTION.get()


def plain_deepcopy(module: nn.Module, memo: dict[int, object]) -> nn.Module:
    """Return a deep copy as if the class had no ``__deepcopy__``."""
    clone = type(module).__new__(type(module))
    memo[id(module)] = clone
    clone.__dict__.update(copy.deepcopy(module.__dict__, memo))
    return clone
