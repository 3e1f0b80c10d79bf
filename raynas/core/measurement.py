"""Measured: a number that remembers how it was measured, and whether it can be trusted."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

Fact = str | int | float

PROVENANCE = "_provenance"
"""Key of a text in a Tune result: the provenance of its metrics, as JSON."""


class Provenance(Struct, frozen=True, kw_only=True):
    """Origin of a number.

    Args:
        facts: by name, such as {"backend": "onnxruntime", "device": "AMD EPYC", "n_threads": 1}.
        doubt: the reason why the number cannot be trusted; "" if it can.
    """

    facts: dict[str, Fact] = {}
    doubt: str = ""

    @classmethod
    def of(cls, facts: Mapping[str, Fact | None], doubt: str = "") -> "Provenance":
        """Return the origin of a number from facts to four digits, without those that are unknown."""
        known = {name: _rounded(fact) for name, fact in facts.items() if fact is not None}
        return cls(facts=known, doubt=doubt)

    @property
    def reliable(self) -> bool:
        """True if there is no doubt."""
        return not self.doubt


def _rounded(fact: Fact) -> Fact:
    return float(f"{fact:.4g}") if isinstance(fact, float) else fact


_BY_METRIC: "msgspec.json.Decoder[dict[str, Provenance]]" = msgspec.json.Decoder(dict[str, Provenance])


class Measured(float):
    """A number with its provenance; in calculations it is a float like any other.

    Args:
        value: the number.
        provenance: its origin.
    """

    provenance: Provenance

    def __new__(cls, value: float, provenance: Provenance) -> "Measured":
        """Make the number."""
        number = super().__new__(cls, value)
        number.provenance = provenance
        return number

    def __reduce__(self) -> tuple[Any, ...]:
        return Measured, (float(self), self.provenance)


def as_float(value: Any) -> float:
    """Return a number as a float, with its provenance if it has one."""
    return value if isinstance(value, Measured) else float(value)


def provenance_of(metrics: Mapping[str, float]) -> dict[str, Provenance]:
    """Return the provenance of those metrics that have one, by name."""
    return {name: value.provenance for name, value in metrics.items() if isinstance(value, Measured)}


def with_provenance(metrics: Mapping[str, float], provenance: Mapping[str, Provenance]) -> dict[str, float]:
    """Return metrics with the provenance of those that are named in it."""
    return {name: Measured(value, provenance[name]) if name in provenance else value for name, value in metrics.items()}


def as_plain(metrics: Mapping[str, float]) -> dict[str, Any]:
    """Return the provenance of metrics in types of JSON, by name."""
    plain: dict[str, Any] = msgspec.to_builtins(provenance_of(metrics))
    return plain


def from_plain(plain: object) -> dict[str, Provenance]:
    """Return what ``as_plain`` gave.

    Raises:
        msgspec.ValidationError: if it is something else.
    """
    return msgspec.convert(plain, dict[str, Provenance])


def as_entry(metrics: Mapping[str, float]) -> dict[str, str]:
    """Return the provenance of metrics as an entry of a Tune result, whose values are numbers and texts."""
    found = provenance_of(metrics)
    return {PROVENANCE: msgspec.json.encode(found).decode()} if found else {}


def from_entry(result: Mapping[str, Any]) -> dict[str, Provenance]:
    """Return what ``as_entry`` put into a Tune result; nothing if the entry is missing or is something else."""
    try:
        return _BY_METRIC.decode(result.get(PROVENANCE, "{}"))
    except (msgspec.MsgspecError, TypeError):
        return {}
