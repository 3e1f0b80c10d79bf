"""Decisions and hyperparameters of evaluated trials as columns of a table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raynas.core.architecture import Option
from raynas.core.decision import Decision, Real
from raynas.core.evaluation import Evaluation
from raynas.core.space import SearchSpace

MAX_OPTIONS = 12
"""Number of different values beyond which numbers that no space describes are taken for a range."""

LOG_RATIO = 50
"""Ratio of the largest to the smallest value beyond which such a range is taken for a logarithmic one."""

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A decision or a hyperparameter that takes several values.

    Args:
        name: its name.
        options: its options in order; none for a range of numbers.
        low: lower end of a range.
        high: upper end.
        log: whether the range is logarithmic.
    """

    name: str
    options: tuple[Option, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False


def columns_of(evaluations: Sequence[Evaluation], space: SearchSpace | None = None) -> list[Column]:
    """Return the columns that vary: decisions of the space in its order, then what only the trials tell of.

    Args:
        evaluations: of a search.
        space: knows options that no trial had; None, or one without decisions, if all is to be read off the trials.
    """
    rows = [row_of(e) for e in evaluations]
    known = {d.name: _declared(d) for d in (space.decisions if space else ())}
    seen = dict.fromkeys(name for row in rows for name in row if name not in known)
    found = [*known.values(), *(_observed(name, rows) for name in seen)]
    return [column for column in found if len(column.options) > 1 or column.high > column.low]


def row_of(evaluation: Evaluation) -> Row:
    """Return the value of every active decision and every hyperparameter, by the name of its column."""
    return {**dict(_dotted(evaluation.hyperparameters)), **evaluation.arch}


def _dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        yield from _dotted(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]


def _declared(decision: Decision) -> Column:
    if isinstance(decision, Real):
        return Column(name=decision.name, low=decision.low, high=decision.high, log=decision.log)
    return Column(name=decision.name, options=tuple(decision.options))


def _observed(name: str, rows: Sequence[Row]) -> Column:
    values = list(dict.fromkeys(row[name] for row in rows if name in row and _is_option(row[name])))
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return Column(name=name, options=tuple(sorted(values, key=str)))
    if len(values) <= MAX_OPTIONS:
        return Column(name=name, options=tuple(sorted(values)))
    low, high = min(values), max(values)
    return Column(name=name, low=low, high=high, log=low > 0 and high > LOG_RATIO * low)


def _is_option(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_option, value))
    return value is None or isinstance(value, bool | int | float | str)
