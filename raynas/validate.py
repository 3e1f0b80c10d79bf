"""Checks of settings: the rule first, then the value."""

import math


def is_number(value: object) -> bool:
    """Return True for a finite number that is not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def require(ok: bool, rule: str, value: object) -> None:
    """Check a setting.

    Raises:
        ValueError: with rule and value, unless ``ok``.
    """
    if not ok:
        raise ValueError(f"{rule}, got {value!r}")


def require_whole(name: str, value: object, least: int) -> None:
    """Check that a setting is a whole number of at least ``least``.

    Raises:
        ValueError: if it is not.
    """
    require(
        isinstance(value, int) and not isinstance(value, bool) and value >= least,
        f"{name} must be a whole number of at least {least}",
        value,
    )
