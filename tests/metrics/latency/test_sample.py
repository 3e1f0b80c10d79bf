"""A sample takes runs in blocks, with the reference network before each."""

import pytest

from raynas.metrics.latency.sample import (
    MIN_RUNS,
    N_BLOCKS,
    REFERENCE_RUNS,
    REFERENCE_WARMUP,
    Sample,
    spread_of,
    take_sample,
)
from raynas.metrics.latency.settings import LatencySettings


def test_runs_and_reference_take_turns() -> None:
    called: list[str] = []
    settings = LatencySettings(n_runs=2 * N_BLOCKS, max_seconds=60)
    sample = take_sample(lambda: called.append("run"), lambda: called.append("reference"), settings)
    assert called == [*["reference"] * (REFERENCE_WARMUP + REFERENCE_RUNS), "run", "run"] * N_BLOCKS
    assert [len(block) for block in sample.blocks] == [2] * N_BLOCKS
    assert len(sample.reference) == REFERENCE_RUNS * N_BLOCKS


@pytest.mark.parametrize("n_runs", [1, 3, 11, 25])
def test_there_are_as_many_runs_as_asked_for(n_runs: int) -> None:
    sample = take_sample(lambda: None, lambda: None, LatencySettings(n_runs=n_runs, max_seconds=60))
    assert len(sample.times) == n_runs


def test_time_ends_it_after_the_least_number() -> None:
    sample = take_sample(lambda: sum(range(10_000)), lambda: None, LatencySettings(max_seconds=1e-9))
    assert [len(block) for block in sample.blocks] == [1] * MIN_RUNS


def test_statistics_by_hand() -> None:
    sample = Sample(blocks=[[1, 2], [5], [3]], reference=[0.5, 0.1, 0.2], waited=None, load=None)
    assert sample.ms == 2500 and sample.reference_ms == 200
    assert sample.spread == pytest.approx((3.5 - 1.75) / 2.5)
    assert sample.halves == pytest.approx((5 - 2) / 2.5)


def test_a_single_run_has_no_spread() -> None:
    assert spread_of([3.0]) == 0
    assert Sample(blocks=[[1.0]], reference=[1.0], waited=None, load=None).halves == 0
