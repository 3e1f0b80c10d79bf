"""Latency of a network: the median of repeated runs after a warm-up, with a stated number of threads."""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from raynas.core.metric import Candidate
from raynas.nn.modes import modes_kept
from raynas.threads import limited_threads

MIN_RUNS = 5
"""Runs that are timed even where one takes longer than the whole budget: a median needs a few."""


def measure_latency(
    model: nn.Module,
    input_shape: Sequence[int],
    *,
    batch_size: int = 1,
    n_runs: int = 100,
    n_warmup: int = 5,
    n_threads: int = 1,
    device: str | torch.device = "cpu",
    max_seconds: float = 0.2,
    example: Tensor | None = None,
) -> float:
    """Measure how long a forward pass takes, in milliseconds.

    What is stated is the median over runs in eval mode, without gradients, after ``n_warmup`` runs that do not
    count, on ``n_threads`` CPU threads, in the memory format that the model's weights have. A busy machine gives
    higher values; the median bears single disturbances, not a load that stays. The model is left as it was, and so
    is the number of threads.

    Args:
        model: takes one tensor of shape ``(batch_size, *input_shape)``.
        input_shape: shape of one example without the batch.
        batch_size: how many examples at a time; the time is that of the whole batch.
        n_runs: how many runs are timed at most.
        n_warmup: how many runs go before them.
        n_threads: CPU threads within an operation.
        device: where to run; the model is moved there for the measurement.
        max_seconds: when to stop early, for the warm-up and for the timed runs each; ``MIN_RUNS`` are always timed.
        example: the input; None for random numbers of that shape.

    Returns:
        Median time of a run in ms.

    Raises:
        ValueError: if a number is not positive (``n_warmup`` may be 0).
    """
    for name, value, least in (("batch_size", batch_size, 1), ("n_runs", n_runs, 1), ("n_warmup", n_warmup, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    device = torch.device(device)
    if example is None:
        example = torch.randn((batch_size, *input_shape), generator=torch.Generator().manual_seed(0))
    example = example.to(device)
    with _ready(model, device), limited_threads(n_threads), torch.inference_mode():
        _time_runs(model, example, n_warmup, max_seconds, least=min(n_warmup, 1))
        times = _time_runs(model, example, n_runs, max_seconds, least=min(n_runs, MIN_RUNS))
    return statistics.median(times) * 1000


def latency_of(candidate: Candidate) -> float:
    """Measure the metric "latency_ms" of a network with fresh weights, for one example."""
    example = candidate.example()
    return measure_latency(
        candidate.model,
        candidate.space.input_shape,
        n_threads=candidate.n_threads,
        device=candidate.device,
        example=None if example.is_floating_point() else example,
    )


def _time_runs(model: nn.Module, example: Tensor, n_runs: int, max_seconds: float, least: int) -> list[float]:
    times: list[float] = []
    while len(times) < n_runs and (len(times) < least or sum(times) < max_seconds):
        _wait_for(example.device)
        start = time.perf_counter()
        model(example)
        _wait_for(example.device)
        times.append(time.perf_counter() - start)
    return times


def _wait_for(device: torch.device) -> None:
    """CUDA runs behind the caller's back; a time without waiting is that of the launch."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _ready(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put the model in eval mode on ``device``, and restore it afterwards."""
    home = next((tensor.device for tensor in model.parameters()), device)
    with modes_kept(model):
        model.eval().to(device)
        try:
            yield
        finally:
            model.to(home)
