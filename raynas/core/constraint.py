"""Constraint: a limit on a metric, as text and as a measure of how far values break it."""

import math
import operator
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal, TypeVar, cast, get_args

import numpy as np
from numpy.typing import NDArray

from raynas.errors import SettingError
from raynas.validate import is_number, plain

Comparison = Literal["<=", ">=", "<", ">"]

Form = Literal["power", "linear", "absolute"]
"""Formulas by which a soft constraint of value V and limit T enters a score S that is maximised, with a weight w < 0:

- "power": ``S * (V/T)**w`` (Tan et al., "MnasNet", CVPR 2019, arXiv:1807.11626, equation 2; also the
  reward of Cai et al., "ProxylessNAS", ICLR 2019, arXiv:1812.00332). ``kept_weight`` is MnasNet's alpha and ``weight``
  its beta: -0.07 for both is the paper's soft reward, 0 and -1 its hard one.
- "linear": ``S + w * V/T``, a weighted sum.
- "absolute": ``S + w * |V/T - 1|``, which is largest at the limit (Bender et al., "TuNAS", CVPR 2020,
  arXiv:2008.06120).
"""

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
    r"(?P<soft>\s+soft(?:\s+(?P<form>[a-z]+))?(?:\s*\(\s*(?:(?P<kept>[^(),\s]+)\s*,\s*)?(?P<weight>[^(),\s]+)\s*\))?)?\s*"
)
_NUMBER = r"[-+]?[\d.][\d._]*(?:[eE][-+]?\d+)?"
_ABSOLUTE = re.compile(rf"(?P<number>{_NUMBER})\s*(?P<prefix>[kKMGT]?)")
_RELATIVE = re.compile(
    rf"baseline|(?P<before>{_NUMBER})\s*\*\s*baseline|baseline\s*\*\s*(?P<behind>{_NUMBER})"
    rf"|(?P<percent>{_NUMBER})\s*%\s*(?:of\s+)?baseline"
)

FORMS = (
    "METRIC <= NUMBER (also <, >, >=; 5e6 may be 5_000_000 or 5M), METRIC <= NUMBER * baseline, or "
    "METRIC <= NUMBER % of baseline; behind it ' soft' for a soft one, ' soft (WEIGHT)', ' soft (KEPT, BROKEN)', "
    "' soft linear (WEIGHT)' or ' soft absolute (WEIGHT)'"
)
"""The forms of a constraint, for messages."""


@dataclass(frozen=True)
class Constraint:
    """A limit on a metric, e.g. ``"latency_ms <= 20"`` or ``"params < 0.9 * baseline"`` or ``"macs <= 3e8 soft"``.

    A hard constraint refuses what violates it: before a trial starts where the metric needs no training, otherwise by
    ranking it behind all that comply. A soft one changes the objective by a formula of value and limit, see ``Form``:
    "latency_ms <= 20 soft" and "latency_ms <= 20 soft (0, -1)" are MnasNet's rewards, "latency_ms <= 20 soft linear
    (-0.1)" is a weighted sum.

    Args:
        metric: the result key.
        op: "<=", ">=", "<" or ">"; "≤" and "≥" are read too.
        limit: the limit, or the factor on the baseline's value if ``relative``.
        relative: whether ``limit`` is a share of the baseline's value.
        soft: whether to trade it against the objective instead of refusing.
        weight: w of the formula; only for soft constraints.
        kept_weight: w where the limit is kept; None for ``weight``.
        form: the formula of a soft constraint.

    Raises:
        SettingError: if the metric is no name, the comparison none of these, or a number is not finite.
    """

    metric: str
    op: Comparison
    limit: float
    relative: bool = False
    soft: bool = False
    weight: float = -0.07
    kept_weight: float | None = None
    form: Form = "power"

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
        self._check_form()

    def _check_form(self) -> None:
        if self.form not in get_args(Form):
            raise SettingError(
                f"the form of a soft constraint must be one of {', '.join(get_args(Form))}, got {self.form!r}"
            )
        if self.kept_weight is not None:
            if self.form != "power" or not is_number(plain(self.kept_weight)):
                raise SettingError(
                    f"kept_weight must be a finite number and belongs to form 'power', got {self.kept_weight!r}"
                )
            object.__setattr__(self, "kept_weight", float(self.kept_weight))
        if self.form != "power" and self.limit <= 0:
            raise SettingError(
                f"the limit of a soft constraint of form {self.form!r} must be above 0, got {self.limit}"
            )

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
        weights = [_number(match[part] or "-0.07") for part in ("kept", "weight")] if match else [None]
        form = (match and match["form"]) or "power"
        if (
            match is None
            or limit is None
            or None in weights
            or form not in get_args(Form)
            or _number(match["metric"]) is not None
        ):
            raise SettingError(f"cannot read constraint {text!r}: write {FORMS}")
        kept = weights[0] if match["kept"] else None
        op, weight = cast(Comparison, match["op"]), cast(float, weights[1])
        return cls(match["metric"], op, *limit, bool(match["soft"]), weight, kept, cast(Form, form))

    def __str__(self) -> str:
        baseline, soft = " * baseline" if self.relative else "", self._soft_text if self.soft else ""
        return f"{self.metric} {self.op} {exact(self.limit)}{baseline}{soft}"

    @property
    def _soft_text(self) -> str:
        form = "" if self.form == "power" else f" {self.form}"
        if self.kept_weight is not None:
            return f" soft{form} ({exact(self.kept_weight)}, {exact(self.weight)})"
        return f" soft{form}" + ("" if self.weight == -0.07 else f" ({exact(self.weight)})")

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
        """Return the factor of form "power" on a score that is maximised: below 1 where the limit is broken."""
        if not self._applies("power", metrics) or not metrics[self.metric] > 0 or self.limit <= 0:
            return 1.0
        ratio = metrics[self.metric] / self.limit
        exceeded = ratio if self.is_upper else 1 / ratio
        kept_weight = self.weight if self.kept_weight is None else self.kept_weight
        return float(exceeded ** (kept_weight if exceeded <= 1 else self.weight))

    def term(self, metrics: Mapping[str, float]) -> float:
        """Return the term that forms "linear" and "absolute" add to a score that is maximised."""
        if self._applies("linear", metrics):
            return self.weight * metrics[self.metric] / self.limit * (1 if self.is_upper else -1)
        if self._applies("absolute", metrics):
            return self.weight * abs(metrics[self.metric] / self.limit - 1)
        return 0.0

    def _applies(self, form: Form, metrics: Mapping[str, float]) -> bool:
        return self.soft and self.form == form and not self.relative and self.metric in metrics


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
