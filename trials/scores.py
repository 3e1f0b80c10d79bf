"""Scores: the metrics that a trial reports, checked."""

import math
from collections.abc import Mapping

from raynas.errors import RaynasError

RESERVED = frozenset(("complete", "done", "error", "failed", "training_iteration"))
"""Result keys that describe the state of a trial; no metric can have such a name."""


def checked_scores(scores: object) -> dict[str, float]:
    """Return the scores as plain floats.

    Raises:
        RaynasError: if one is not a finite number, or has a reserved name.
    """
    if not isinstance(scores, Mapping) or not scores:
        raise RaynasError(f"scores must be a dict of numbers, got {scores!r}")
    return {name: _checked_score(name, value) for name, value in scores.items()}


def _checked_score(name: object, value: object) -> float:
    if not isinstance(name, str) or name in RESERVED:
        raise RaynasError(f"{name!r} cannot be the name of a metric; rename it")
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise RaynasError(f"metric {name!r} must be a number, got {value!r}") from None
    if not math.isfinite(number):
        raise RaynasError(f"{name} is {number}: the training diverged; a lower learning rate may help")
    return number
