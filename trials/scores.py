"""Scores: the metrics that a trial reports, checked."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ray.tune.utils import flatten_dict

from raynas.core.measurement import as_float
from raynas.errors import RaynasError

RESERVED = frozenset(("complete", "done", "error", "failed", "training_iteration"))
"""Result keys that describe the state of a trial; no metric can have such a name."""


MAX_NOTE = 500
"""Number of characters that are kept of a value that is no number."""


class Report(NamedTuple):
    """A report of a trial after some training.

    Args:
        scores: finite numbers by name; those in nested dicts are named with "/", as by Tune.
        notes: the other values, as text.
    """

    scores: dict[str, float]
    notes: dict[str, str]


def checked_scores(scores: object) -> dict[str, float]:
    """Return the scores as plain floats.

    Raises:
        RaynasError: if one is not a finite number, or has a reserved name.
    """
    return checked_report(scores, lambda name: True).scores


def checked_report(report: object, is_needed: Callable[[str], bool]) -> Report:
    """Take numbers and notes apart.

    Args:
        report: a dict, which may nest.
        is_needed: whether a metric is asked for, or is one that raynas knows.

    Raises:
        RaynasError: if a metric that is needed is not a finite number, or a name is reserved.
    """
    if not isinstance(report, Mapping) or not report:
        raise RaynasError(f"scores must be a dict of numbers, got {report!r}")
    scores, notes = dict[str, float](), dict[str, str]()
    for name, value in flatten_dict(dict(report)).items():
        if not isinstance(name, str) or name in RESERVED:
            raise RaynasError(f"{name!r} cannot be the name of a metric; rename it")
        number = number_of(value)
        if number is not None and math.isfinite(number):
            scores[name] = number
        elif not is_needed(name):
            notes[name] = str(value)[:MAX_NOTE]
        elif number is None:
            raise RaynasError(f"metric {name!r} must be a number, got {value!r}")
        else:
            raise RaynasError(f"{name} is {number}: the training diverged; a lower learning rate may help")
    return Report(scores, notes)


def number_of(value: Any) -> float | None:
    """Return a number of any library, or the one in an array or tensor, as a float; None for anything else."""
    if isinstance(value, str | bytes):
        return None
    try:
        return as_float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None
