"""Setting: a piece of global state, by the functions that read and write it."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Setting(NamedTuple):
    """A piece of global state.

    Args:
        get: returns its value; two values are equal if nothing changed.
        set: takes a value that ``get`` returned.
    """

    get: Callable[[], Any]
    set: Callable[[Any], object]
