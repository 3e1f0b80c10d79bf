"""The catalogue: a description of every entry of the tables, from which options and help are made.

The classes themselves import torch and Ray, which takes seconds. Their descriptions are kept in ``catalogue.json``, so
that ``--help`` and a misspelt option are answered at once. ``scripts/make_catalogue.py`` writes the file, and a test
compares it with the code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("catalogue.json")
"""The descriptions of all tables."""

KINDS: Mapping[str, str] = {
    "space": "search space",
    "strategy": "strategy",
    "early_stopping": "early stopping",
    "trainable": "trainable",
    "method": "one-shot method",
}
"""Options whose value is the name of a table's entry, and the noun for such an entry in messages."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """A field of settings that can be set from the command line.

    Args:
        name: name of the field.
        hint: type of its value, as an annotation.
        help: its description in the docstring.
        default: its default, with lists for tuples.
        required: whether it has none.
    """

    name: str
    hint: str
    help: str = ""
    default: Any = None
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Settings as options of the command line.

    Args:
        summary: the first sentence of the docstring.
        options: the fields that can be set.
    """

    summary: str
    options: tuple[Option, ...] = ()


@cache
def catalogue() -> Mapping[str, Mapping[str, Entry]]:
    """Return the entries of each table, by option and name."""
    tables = json.loads(FILE.read_text(encoding="utf-8"))
    return {option: {name: _entry(**entry) for name, entry in table.items()} for option, table in tables.items()}


def entry_of(option: str, name: str) -> Entry:
    """Return the entry of a name; a search space of the user's has no options."""
    return catalogue()[option].get(name) or Entry(summary="a search space of yours")


def _entry(summary: str, options: list[dict[str, Any]]) -> Entry:
    return Entry(summary=summary, options=tuple(Option(**option) for option in options))
