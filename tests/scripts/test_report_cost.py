"""The bench of the report's cost, small."""

from scripts.bench.report_cost import measured


def test_a_small_run() -> None:
    first, again, size = measured(12)
    assert first > 0 and again > 0 and 1 < size < 5
