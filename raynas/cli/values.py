"""Values on the command line: their types, and both in words."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast, get_args, get_origin

from jsonargparse import ActionYesNo

_NAMES: dict[str, Any] = {kind.__name__: kind for kind in (int, float, str, bool, tuple, Mapping, Sequence)}
_NAMES |= {"Any": Any, "Literal": Literal}


def hint_of(text: str) -> object:
    """Return the type that an annotation in the catalogue names."""
    return cast(object, eval(text, {"__builtins__": {}}, _NAMES))  # written by raynas.cli.describe, never by a user


def parser_arguments(hint: object) -> dict[str, Any]:
    """Return the arguments by which jsonargparse reads values of a type."""
    origin = get_origin(hint)
    if hint is bool:
        return {"action": ActionYesNo(no_prefix="no_"), "nargs": "?"}
    if origin in (tuple, Sequence):
        return {"type": get_args(hint)[0], "nargs": "*"}
    if origin is Mapping:
        return {"type": dict[str, get_args(hint)[1]]}  # type: ignore[misc]
    return {"type": hint}


def typed(value: Any) -> Any:
    """Return a parsed value or a default with tuples for lists, as settings have them."""
    return tuple(map(typed, value)) if isinstance(value, list | tuple) else value


def metavar(hint: object) -> str:
    """Return the letter or word that represents a value behind its flag, with the blank or dot before it."""
    origin = get_origin(hint)
    if hint is bool:
        return " yes|no"
    if origin in (tuple, Sequence):
        return f" {metavar(get_args(hint)[0]).strip()} ..."
    if origin is Mapping:
        return ".NAME " + metavar(get_args(hint)[1]).strip()
    kinds = [kind for kind in (get_args(hint) or (hint,)) if kind is not type(None)]
    return f" {({int: 'N', float: 'X'}).get(kinds[0], 'TEXT')}"


_IN_WORDS: Mapping[object, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    type(None): "none",
}


def type_text(hint: object) -> str:
    """Return the values of a type in words: "a number or none"."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (tuple, Sequence):
        return f"values that are each {type_text(arguments[0])}"
    if origin is Mapping:
        return "NAME and value"
    if arguments:
        return " or ".join(_IN_WORDS.get(part, repr(part)) for part in arguments)
    return _IN_WORDS.get(hint, str(hint))


def default_text(default: object) -> str:
    """Return what the help says about a default: " (default: 60)", or "" for none."""
    if default is None or default in ((), {}):
        return ""
    if isinstance(default, bool):
        return " (default: yes)" if default else " (default: no)"
    return f" (default: {shlex.join(map(str, default)) if isinstance(default, tuple) else default})"
