"""Windows: successive parts of a search, by the number of trials."""

from collections.abc import Iterable
from typing import NamedTuple

from raynas.core.archive import Record

MAX_WINDOWS = 10
"""Maximum number of windows, so that a picture of them can be read."""


class Window(NamedTuple):
    """Trials of a search in the order of their ends.

    Args:
        first: number of the first, from 1.
        last: number of the last, included.
    """

    first: int
    last: int


def windows(n: int, generation_size: int = 0, most: int = MAX_WINDOWS) -> list[Window]:
    """Divide trials into windows of equal size, except for the last.

    Args:
        n: number of trials.
        generation_size: number of trials of a generation; a window has whole generations. 0 for a search without.
        most: maximum number of windows.
    """
    unit = max(generation_size, 1)
    size = unit * max(-(-n // (unit * most)), 1)
    return [Window(first + 1, min(first + size, n)) for first in range(0, n, size)]


def generation_size(records: Iterable[Record]) -> int:
    """Return the number of trials of a generation, as the last session set it; 0 if it set none."""
    sizes = [record.get("generation_size") for record in records if record["event"] == "session"]
    return int(sizes[-1] or 0) if sizes else 0
