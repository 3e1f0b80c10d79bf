"""Constraint: a limit on a metric, as text and as a measure of how far values break it."""

import math
import operator
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from raynas.errors import SettingError
from raynas.validate import is_number, plain

Comparison = Literal["<=", ">=", "<", ">"]

Array = NDArray[np.float64]
_Number = TypeVar("_Number", float, Array)
_EPSILON = sys.float_info.epsilon

_HOLDS: Mapping[str, Callable[[Any, float], Any]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_SYMBOLS = {"≤": "<=", "≥": ">="}
_EXPONENTS = {"": 0, "k": 3, "K": 3, "M": 6, "G": 9, "T": 12}

_METRIC = r"[^\s<>=≤≥](?:[^<>=≤≥]*[^\s<>=≤≥])?"
_FORM = re.compile(
    rf"\s*(?P<metric>{_METRIC})\s*(?P<op><=|>=|<|>|≤|≥)\s*(?P<limit>[^\s<>=≤≥][^<>=≤≥]*?)"
    r"(?P<soft>\s+soft(?:\s*\(\s*(?P<weight>[^()\s]+)\s*\))?)?\s*"
)
_NUMBER = r"[-+]?[\d.][\d._]*(?:[eE][-+]?\d+)?"
_ABSOLUTE = re.compile(rf"(?P<number>{_NUMBER})\s*(?P<prefix>[kKMGT]?)")
_RELATIVE = re.compile(
    rf"baseline|(?P<before>{_NUMBER})\s*\*\s*baseline|baseline\s*\*\s*(?P<behind>{_NUMBER})"
    rf"|(?P<percent>{_NUMBER})\s*%\s*(?:of\s+)?baseline"
)

FORMS = (
    "METRIC <= NUMBER (also <, >, >=; 5e6 may be 5_000_000 or 5M), METRIC <= NUMBER * baseline, or "
    "METRIC <= NUMBER % of baseline, with ' soft' behind it for a soft one"
)
"""The forms of a constraint, for messages."""


@dataclass(frozen=True)
class Constraint:
    """A limit on a metric, e.g. ``"latency_ms <= 20"`` or ``"params < 0.9 * baseline"`` or ``"macs <= 3e8 soft"``.

    A hard constraint refuses what violates it: before a trial starts where the metric needs no training, otherwise by
    ranking it behind all that comply. A soft one multiplies the objective by ``(value / limit) ** weight``
    (Tan et al. 2019, MnasNet, equation 2 with alpha = beta).

    Args:
        metric: the result key.
        op: "<=", ">=", "<" or ">"; "≤" and "≥" are read too.
        limit: the limit, or the factor on the baseline's value if ``relative``.
        relative: whether ``limit`` is a share of the baseline's value.
        soft: whether to trade it against the objective instead of refusing.
        weight: MnasNet's exponent w; only for soft constraints.

    Raises:
        SettingError: if the metric is no name, the comparison none of these, or a number is not finite.
    """

    metric: str
    op: Comparison
    limit: float
    relative: bool = False
    soft: bool = False
    weight: float = -0.07

    def __post_init__(self) -> None:
        if not re.fullmatch(_METRIC, str(self.metric)) or _number(self.metric) is not None:
            raise SettingError(f"the metric of a constraint must be a name without <, > and =, got {self.metric!r}")
        object.__setattr__(self, "op", _SYMBOLS.get(self.op, self.op))
        if self.op not in _HOLDS:
            raise SettingError(f"the comparison of a constraint must be one of {', '.join(_HOLDS)}, got {self.op!r}")
        for name in ("limit", "weight"):
            value = plain(getattr(self, name))
            if not is_number(value):
                raise SettingError(f"the {name} of a constraint must be a finite number, got {value!r}")
            object.__setattr__(self, name, float(cast(float, value)))

    @classmethod
    def parse(cls, text: "str | Constraint") -> "Constraint":
        """Read a constraint string.

        Raises:
            SettingError: if it is of none of the ``FORMS``.
        """
        if isinstance(text, Constraint):
            return text
        match = _FORM.fullmatch(text) if isinstance(text, str) else None
        limit = _limit(match["limit"]) if match else None
        weight = _number(match["weight"] or "-0.07") if match else None
        if match is None or limit is None or weight is None or _number(match["metric"]) is not None:
            raise SettingError(f"cannot read constraint {text!r}: write {FORMS}")
        return cls(match["metric"], cast(Comparison, match["op"]), *limit, bool(match["soft"]), weight)

    def __str__(self) -> str:
        weight = "" if self.weight == -0.07 else f" ({exact(self.weight)})"
        baseline, soft = " * baseline" if self.relative else "", f" soft{weight}" if self.soft else ""
        return f"{self.metric} {self.op} {exact(self.limit)}{baseline}{soft}"

    @property
    def is_upper(self) -> bool:
        """True if values must be below the limit, False if they must be above."""
        return self.op in ("<=", "<")

    def against(self, baseline: Mapping[str, float]) -> "Constraint":
        """Return the absolute constraint, once the baseline's value is known; itself until then."""
        if not self.relative or self.metric not in baseline:
            return self
        # In decimals, as a reader would multiply: 0.9 * 0.8 is 0.72.
        limit = Decimal(repr(self.limit)) * Decimal(repr(float(baseline[self.metric])))
        return replace(self, limit=float(limit), relative=False)

    def violation(self, metrics: Mapping[str, float]) -> float:
        """By which share of the limit ``metrics`` break it; 0 where they comply or do not (yet) say."""
        if self.relative or self.metric not in metrics or _HOLDS[self.op](metrics[self.metric], self.limit):
            return 0.0
        return max(self._distance(metrics[self.metric]), _EPSILON)  # the limit itself breaks a strict one

    def violations(self, values: Array) -> Array:
        """By which share of the limit each of many values of the metric breaks it, ``(n,)``."""
        if self.relative:
            return np.zeros(len(values))
        return np.where(_HOLDS[self.op](values, self.limit), 0.0, np.maximum(self._distance(values), _EPSILON))

    def _distance(self, value: _Number) -> _Number:
        return abs(value - self.limit) / max(abs(self.limit), 1e-12)

    def factor(self, metrics: Mapping[str, float]) -> float:
        """MnasNet's factor on an objective that is maximised: below 1 where a soft constraint is violated."""
        if not self.soft or self.relative or not metrics.get(self.metric, 0) > 0 or self.limit <= 0:
            return 1.0
        ratio = metrics[self.metric] / self.limit
        return float((ratio if self.is_upper else 1 / ratio) ** self.weight)


def exact(number: float) -> str:
    """Return the shortest text of a number that loses nothing: "20", "1e+09", "1234567", "0.1"."""
    short = f"{number:g}"
    if float(short) == number:
        return short
    return f"{number:.0f}" if abs(number) < 1e16 and number == int(number) else repr(float(number))


def _number(text: str, exponent: int = 0) -> float | None:
    """Return the number in a text times a power of ten, rounded once; None if the text is none."""
    try:
        value = float(text)
        value = float(Decimal(text).scaleb(exponent)) if exponent else value
    except (ValueError, ArithmeticError):
        return None
    return value if math.isfinite(value) else None


def _limit(text: str) -> tuple[float, bool] | None:
    """Return the limit in a text, and whether it is a share of the baseline; None if the text is none."""
    if absolute := _ABSOLUTE.fullmatch(text):
        number, relative = _number(absolute["number"], _EXPONENTS[absolute["prefix"]]), False
    elif share := _RELATIVE.fullmatch(text):
        percent, relative = share["percent"], True
        number = _number(percent, -2) if percent else _number(share["before"] or share["behind"] or "1")
    else:
        return None
    return None if number is None else (number, relative)
