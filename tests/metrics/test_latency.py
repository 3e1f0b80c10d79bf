"""Latency is a median after a warm-up, within a time limit, and leaves the model as it was."""

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from raynas.metrics.latency import MIN_RUNS, measure_latency
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
    assert 2 <= measure_latency(model, (1,), n_runs=3, n_warmup=1, max_seconds=10) < 100


def test_the_warm_up_does_not_count() -> None:
    model = Timed(lambda call: 0.05 if call < 3 else 0.001)
    assert measure_latency(model, (1,), n_runs=3, n_warmup=3) < 20
    assert model.calls == 6


def test_a_slow_model_is_timed_a_few_times_only() -> None:
    model = Timed(lambda call: 0.02)
    measure_latency(model, (1,), n_runs=1000, n_warmup=50, max_seconds=0.01)
    assert model.calls == 1 + MIN_RUNS


def test_it_runs_as_stated() -> None:
    model = Timed(lambda call: 0)
    measure_latency(model, (3, 4, 4), batch_size=2, n_runs=2, n_warmup=0, n_threads=2)
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
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be at least"):
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
