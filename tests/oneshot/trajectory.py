"""What a learner computes, seen from outside."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from raynas.core.architecture import Architecture
from raynas.nn import Supernet


@contextmanager
def selections_of(supernet: Supernet) -> Iterator[list[Architecture]]:
    """The architectures that a supernet computes until the context ends."""
    seen: list[Architecture] = []

    def note(module: nn.Module, args: tuple[Any, ...]) -> None:
        if module is supernet:  # A copy of it has the hook too.
            seen.append(Architecture(args[1]))

    hook = supernet.register_forward_pre_hook(note)
    try:
        yield seen
    finally:
        hook.remove()
