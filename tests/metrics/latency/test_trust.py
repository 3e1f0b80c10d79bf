"""Each disturbance is a reason to doubt a latency."""

import pytest

from raynas.metrics.latency.sample import Sample
from raynas.metrics.latency.trust import MAX_HALVES, MAX_SLOWDOWN, MAX_SPREAD, MAX_WAITED
from raynas.metrics.latency.trust import doubts_of as doubts_with_excess


def sample(blocks: list[list[float]], waited: float | None = 0.0) -> Sample:
    return Sample(blocks=blocks, reference=[0.001], waited=waited, load=0.0)


def doubts_of(sample: Sample, slowdown: float) -> list[str]:
    doubts = doubts_with_excess(sample, slowdown)
    assert all(doubt.excess > 1 for doubt in doubts)
    return [doubt.reason for doubt in doubts]


EVEN = [[0.001] * 4] * 4


@pytest.mark.parametrize("waited", [None, 0.0, MAX_WAITED])
def test_a_calm_machine_is_trusted(waited: float | None) -> None:
    assert doubts_of(sample(EVEN, waited), MAX_SLOWDOWN) == []


def test_waiting_for_a_cpu() -> None:
    (reason,) = doubts_of(sample(EVEN, MAX_WAITED + 0.2), 1.0)
    assert reason == f"the machine is busy: {MAX_WAITED + 0.2:.0%} of the time was spent waiting for a CPU"


def test_a_slow_reference() -> None:
    (reason,) = doubts_of(sample(EVEN), 2.0)
    assert reason.endswith("the reference network took 2.00 times its best time")


def test_times_that_spread() -> None:
    wide = [[0.001, 0.001 * (1 + 3 * MAX_SPREAD)]] * 4
    (reason,) = doubts_of(sample(wide), 1.0)
    assert reason.startswith("the times spread: half of them lie in a range of")


def test_halves_that_disagree() -> None:
    other = 0.001 * (1 + 1.5 * MAX_HALVES)
    reasons = doubts_of(sample([[0.001] * 9, [other] * 9] * 2), 1.0)
    assert reasons == [f"two interleaved halves of the runs differ by {(other - 0.001) / (0.001 + other) * 2:.0%}"]


def test_the_most_telling_reason_is_first() -> None:
    assert doubts_of(sample([[0.001], [0.01]] * 3, 1.0), 3.0)[0].startswith("the machine is busy")
    assert len(doubts_of(sample([[0.001], [0.01]] * 3, 1.0), 3.0)) == 4
