"""Checks of settings: the rule first, then the value."""

import math
from dataclasses import fields
from typing import Any, cast

from raynas.errors import SettingError


def is_number(value: object) -> bool:
    """Return True for a finite number that is not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def require(ok: bool, rule: str, value: object) -> None:
    """Check a setting.

    Raises:
        SettingError: with rule and value, unless ``ok``.
    """
    if not ok:
        raise SettingError(f"{rule}, got {value!r}")


def require_whole(name: str, value: object, least: int) -> None:
    """Check that a setting is a whole number of at least ``least``.

    Raises:
        SettingError: if it is not.
    """
    require(
        isinstance(value, int) and not isinstance(value, bool) and value >= least,
        f"{name} must be a whole number of at least {least}",
        value,
    )


def plain(value: object) -> object:
    """Return a number of numpy, or a tensor of one number, as Python's; return anything else as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value


def plain_parts(value: Any) -> Any:
    """Return a value as ``plain`` does, and the parts of tuples, lists and dicts."""
    if isinstance(value, dict):
        return {name: plain_parts(part) for name, part in value.items()}
    return type(value)(map(plain_parts, value)) if type(value) in (list, tuple) else plain(value)


def whole(name: str, value: object, least: int) -> int:
    """Return an argument that is a whole number, also one of numpy or a float such as 20.0, as an int.

    Raises:
        SettingError: if it is no whole number, or less than ``least``.
    """
    number = plain(value)
    number = int(number) if isinstance(number, float) and number.is_integer() else number
    require_whole(name, number, least)
    return cast(int, number)


def positive(name: str, value: object) -> float:
    """Return an argument that is a number above 0, also one of numpy, as a float.

    Raises:
        SettingError: if it is none.
    """
    number = plain(value)
    require(is_number(number) and cast(float, number) > 0, f"{name} must be a number above 0", number)
    return float(cast(float, number))


def make_plain(settings: object) -> None:
    """Replace numbers of numpy in the fields of frozen settings by Python's, and 3.0 by 3 where the type is int."""
    for field in fields(settings):  # type: ignore[arg-type]
        value = plain_parts(getattr(settings, field.name))
        is_whole = isinstance(value, float) and value.is_integer() and field.type in (int, "int", int | None)
        object.__setattr__(settings, field.name, int(value) if is_whole else value)
