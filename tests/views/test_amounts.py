"""Metrics and durations in words."""

import pytest

from raynas.core.measurement import Measured, Provenance
from raynas.views.amounts import DOUBT, amount, duration


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("params", 1234567, "1.23 M"),
        ("params", 999_999, "1 M"),
        ("params", 950, "950"),
        ("macs", 1.86e8, "186 M"),
        ("accuracy", 0.931249, "0.9312"),
        ("latency_ms", 3.4149, "3.41 ms"),
        ("latency_ms", 12345.6, "12346 ms"),
        ("peak_memory_mb", 512.3, "512 MB"),
        ("loss", -2345.0, "-2.35 k"),
    ],
)
def test_amounts_are_short(metric: str, value: float, text: str) -> None:
    assert amount(metric, value) == text


def test_unreliable_figures_are_marked() -> None:
    assert amount("latency_ms", Measured(3.4, Provenance())) == "3.4 ms"
    assert amount("latency_ms", Measured(3.4, Provenance(doubt="the machine is busy"))) == f"3.4 ms{DOUBT}"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 m 00 s"), (3725, "1 h 02 m"), (100_000, "1 d 03 h")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text
