"""Latency is a median after a warm-up, within a time limit, and leaves the model as it was."""

import sys
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments, TensorSpec
from raynas.metrics.latency import MIN_RUNS, LatencySettings, measure_latency, time_network
from raynas.metrics.latency.reference import Reference
from raynas.metrics.latency.sample import Sample
from raynas.metrics.memory import peak_memory_mb, reset_peak_memory
from raynas.threads import limited_threads


class Timed(nn.Module):
    """Takes as long as ``seconds`` says for each call."""

    def __init__(self, seconds: Callable[[int], float]) -> None:
        super().__init__()
        self.seconds, self.calls = seconds, 0
        self.seen: list[tuple[bool, bool, int, tuple[int, ...]]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append((self.training, torch.is_inference_mode_enabled(), torch.get_num_threads(), tuple(x.shape)))
        time.sleep(self.seconds(self.calls))
        self.calls += 1
        return x


def test_it_is_the_median_in_milliseconds() -> None:
    model = Timed(lambda call: 0.4 if call == 3 else 0.002)
    # The mean is above 134; a busy machine lets 2 become a few tens.
    assert 2 <= measure_latency(model, (1,), n_runs=3, n_warmup=1, max_seconds=10, max_attempts=1) < 100


def test_the_warm_up_does_not_count() -> None:
    model = Timed(lambda call: 0.05 if call < 3 else 0.001)
    assert measure_latency(model, (1,), n_runs=3, n_warmup=3, max_attempts=1) < 20
    assert model.calls == 6


def test_a_slow_model_is_timed_a_few_times_only() -> None:
    model = Timed(lambda call: 0.02)
    measure_latency(model, (1,), n_runs=1000, n_warmup=50, max_seconds=0.01, max_attempts=1)
    assert model.calls == 1 + MIN_RUNS


def test_it_runs_as_stated() -> None:
    model = Timed(lambda call: 0)
    measure_latency(model, (3, 4, 4), batch_size=2, n_runs=2, n_warmup=0, n_threads=2, max_attempts=1)
    assert model.seen == [(False, True, 2, (2, 3, 4, 4))] * 2


def test_the_model_and_the_threads_are_left_as_they_were() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout().eval(), nn.Conv2d(3, 4, 1))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    measure_latency(model, (3, 4, 4), n_threads=threads + 1)
    assert [module.training for module in model] == [True, False, True]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_all_is_restored_when_the_model_breaks() -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    threads = torch.get_num_threads()
    with pytest.raises(RuntimeError):
        measure_latency(model, (5,), n_threads=threads + 1)
    assert model.training and torch.get_num_threads() == threads


@pytest.mark.parametrize("wrong", [{"n_runs": 0}, {"n_warmup": -1}, {"batch_size": 0}, {"n_threads": 0}])
def test_numbers_must_be_positive(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be a whole number of at least"):
        measure_latency(nn.Identity(), (3,), **wrong)  # type: ignore[arg-type]


def test_threads_come_back_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError), limited_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before


def test_the_memory_peak_starts_again() -> None:
    reset_peak_memory()
    before = peak_memory_mb()
    used = torch.ones(100_000_000, dtype=torch.uint8)
    high = peak_memory_mb()
    assert before + 90 < high < before + 200
    del used
    reset_peak_memory()
    assert peak_memory_mb() < high - 90


def test_the_number_remembers_how_it_was_measured() -> None:
    ms = measure_latency(nn.Linear(3, 4), (3,), batch_size=2, n_threads=1, dtype="bfloat16")
    facts = ms.provenance.facts
    told = {name: facts[name] for name in ("backend", "version", "n_threads", "batch_size", "dtype", "n_runs")}
    assert told == {
        "backend": "eager",
        "version": torch.__version__,
        "n_threads": 1,
        "batch_size": 2,
        "dtype": "bfloat16",
        "n_runs": 100,
    }
    assert facts["device"] and 1 <= float(facts["attempts"]) <= 3
    assert float(facts["reference_ms"]) > 0 and float(facts["slowdown"]) >= 1 and float(facts["spread"]) >= 0
    if sys.platform == "linux":
        assert 0 <= float(facts["waited"]) <= 1 and float(facts["load"]) >= 0


def test_weights_and_real_inputs_have_the_type_that_was_asked_for() -> None:
    seen = []

    class Typed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(5, 3)

        def forward(self, ids: Tensor, x: Tensor) -> Tensor:
            seen.append((ids.dtype, x.dtype, self.embedding.weight.dtype))
            return torch.add(x, self.embedding(ids))

    model = Typed()
    measure_latency(model, (TensorSpec((2,), torch.long, high=5), TensorSpec((2, 3))), dtype="float16", n_runs=1)
    assert set(seen) == {(torch.int64, torch.float16, torch.float16)}
    assert model.embedding.weight.dtype == torch.float32


DISTURBED, CALM = (
    Sample(blocks=[[1.0], [2.0]], reference=[1.0], waited=0.5, load=1.0),
    Sample(blocks=[[0.5], [0.5]], reference=[1.0], waited=0.0, load=0.0),
)
WORSE = Sample(blocks=[[4.0], [4.0]], reference=[1.0], waited=0.9, load=1.0)


@pytest.mark.parametrize(
    ("samples", "ms", "attempts", "reliable"),
    [([CALM], 500, 1, True), ([DISTURBED, CALM], 500, 2, True), ([WORSE, DISTURBED, WORSE], 1500, 3, False)],
)
def test_it_is_measured_again_until_it_can_be_trusted(
    samples: list[Sample], ms: float, attempts: int, reliable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(samples)
    monkeypatch.setattr("raynas.metrics.latency.measure.take_sample", lambda *given: next(left))
    monkeypatch.setattr("raynas.metrics.latency.measure.PAUSE_SECONDS", 0)
    monkeypatch.setattr(Reference, "slowdown", lambda self, ms, counts: 1.0)
    timing = time_network(nn.Identity(), Arguments((torch.ones(1),)), LatencySettings())
    assert (timing.ms, timing.attempts, timing.reliable) == (ms, attempts, reliable)
    assert timing.measured == ms and timing.measured.provenance.doubt == timing.doubt
    assert next(left, None) is None
