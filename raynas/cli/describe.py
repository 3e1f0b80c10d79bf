"""Descriptions of settings, read from their dataclass: a field is an option, its docstring the help."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import docstring_parser

from raynas.cli.catalogue import Entry, Option


def describe(cls: type) -> Entry:
    """Return the description of a dataclass.

    Raises:
        TypeError: if it is none.
    """
    return _described(cls)


@cache
def _described(cls: type) -> Entry:
    if not is_dataclass(cls):
        raise TypeError(f"{cls.__name__} must be a dataclass")
    hints, help_texts = get_type_hints(cls), _help_texts(cls)
    return Entry(
        summary=_plain_text(docstring_parser.parse(cls.__doc__ or "").short_description),
        options=tuple(
            Option(
                name=item.name,
                hint=hint_text(hints[item.name]),
                help=help_texts.get(item.name, ""),
                **_default(item),
            )
            for item in fields(cls)
            if item.init and _is_plain(hints[item.name])
        ),
    )


def _is_plain(hint: object) -> bool:
    """Return whether the command line can set a field: to numbers, texts, and sequences and mappings of these.

    Parts that are settings themselves (a relaxation, stages) are for Python; early stopping and one-shot methods are
    entries with a table.
    """
    if hint in (int, float, str, bool, type(None), Any, ...) or get_origin(hint) in (Callable, Literal):
        return True
    parts = get_args(hint)
    return (bool(parts) and all(map(_is_plain, parts))) or _is_text(hint)


def _is_text(hint: object) -> bool:
    """Return whether a text represents the value: code by its name, or settings, as the stages of a portfolio."""
    parts = get_args(hint)
    if any(get_origin(part) is Callable for part in (hint, *parts)):
        return True
    return get_origin(hint) in (UnionType, Union) and str in parts and not all(map(_is_plain, parts))


def hint_text(hint: object) -> str:
    """Return a plain type as an annotation, such as ``tuple[int, ...]`` or ``float | None``."""
    if hint in (Any, ..., type(None)):
        return {Any: "Any", ...: "...", type(None): "None"}[hint]
    if _is_text(hint):
        return "str"
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, parts))}]"
    if origin in (UnionType, Union):
        return " | ".join(map(hint_text, parts))
    return f"{origin.__name__}[{', '.join(map(hint_text, parts))}]" if origin else str(getattr(hint, "__name__", hint))


def _default(item: Field[Any]) -> dict[str, Any]:
    if item.default_factory is not MISSING:
        return {"default": _as_lists(item.default_factory())}
    return {"required": True} if item.default is MISSING else {"default": _as_lists(item.default)}


def _as_lists(value: Any) -> Any:
    return [_as_lists(part) for part in value] if isinstance(value, list | tuple) else value


def _plain_text(docstring: str | None) -> str:
    """Return a docstring in one line for a terminal, in the words of the command line."""
    return re.sub(r"\bNone\b", "none", " ".join((docstring or "").replace("``", "").split()))


def _help_texts(cls: type) -> dict[str, str]:
    """Return the docstrings of the fields of a class and its bases."""
    parsed = [docstring_parser.parse(base.__doc__ or "") for base in reversed(cls.__mro__) if base is not object]
    return {
        param.arg_name: _plain_text(param.description).rstrip(".") for docstring in parsed for param in docstring.params
    }


def catalogue_text(tables: Mapping[str, Mapping[str, type | None]]) -> str:
    """Return the descriptions of all entries as JSON, for ``catalogue.json``.

    Args:
        tables: classes by option and name; None for the entry "none".
    """
    described = {option: {name: _as_json(cls) for name, cls in table.items()} for option, table in tables.items()}
    text = json.dumps(described, indent=1)
    return re.sub(r"\n {5,}", " ", text) + "\n"  # an option per line


def _as_json(cls: type | None) -> dict[str, Any]:
    entry = describe(cls) if cls else Entry(summary="train every architecture to the end")
    usual = vars(Option(name="", hint=""))
    options = [{k: v for k, v in vars(option).items() if v != usual[k]} for option in entry.options]
    return {"summary": entry.summary, "options": options}
