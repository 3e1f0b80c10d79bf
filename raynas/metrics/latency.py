"""Latency of a network: the median of repeated runs after a warm-up, with a stated number of threads."""

import copy
import statistics
import time
from collections.abc import Sequence
from itertools import chain

import torch
from torch import nn

from raynas.core.inputs import Arguments, InputSpec, as_spec, make_example
from raynas.core.metric import Candidate
from raynas.errors import SettingError
from raynas.nn.modes import modes_kept
from raynas.threads import limited_threads

MIN_RUNS = 5
"""Runs that are timed even where one takes longer than the whole budget: a median needs a few."""


def measure_latency(
    model: nn.Module,
    inputs: InputSpec | Sequence[int],
    *,
    batch_size: int = 1,
    n_runs: int = 100,
    n_warmup: int = 5,
    n_threads: int = 1,
    device: str | torch.device = "cpu",
    max_seconds: float = 0.2,
) -> float:
    """Measure how long a forward pass takes, in milliseconds.

    What is stated is the median over runs in eval mode, without gradients, after ``n_warmup`` runs that do not
    count, on ``n_threads`` CPU threads, in the memory format that the model's weights have. A busy machine gives
    higher values; the median bears single disturbances, not a load that stays. The model is left as it was, and so
    is the number of threads.

    Args:
        model: the network.
        inputs: what it takes: the shape of one example, without the batch, for one tensor of real numbers; else a
            description or examples, see ``InputSpec``.
        batch_size: how many examples at a time; the time is that of the whole batch.
        n_runs: how many runs are timed at most.
        n_warmup: how many runs go before them.
        n_threads: CPU threads within an operation.
        device: where to run; a copy of the model is moved there if it is on another one.
        max_seconds: when to stop early, for the warm-up and for the timed runs each; ``MIN_RUNS`` are always timed.

    Returns:
        Median time of a run in ms.

    Raises:
        SettingError: if a number is not positive (``n_warmup`` may be 0).
    """
    for name, value, least in (("batch_size", batch_size, 1), ("n_runs", n_runs, 1), ("n_warmup", n_warmup, 0)):
        if value < least:
            raise SettingError(f"{name} must be at least {least}, got {value}")
    device = torch.device(device)
    example = Arguments.of(make_example(as_spec(inputs), batch_size, device))
    if any(tensor.device.type != device.type for tensor in chain(model.parameters(), model.buffers())):
        model = copy.deepcopy(model).to(device)
    with modes_kept(model), limited_threads(n_threads), torch.inference_mode():
        model.eval()
        _time_runs(model, example, device, n_warmup, max_seconds, least=min(n_warmup, 1))
        times = _time_runs(model, example, device, n_runs, max_seconds, least=min(n_runs, MIN_RUNS))
    return statistics.median(times) * 1000


def latency_of(candidate: Candidate) -> float:
    """Measure the metric "latency_ms" of a network with fresh weights, for one example."""
    return measure_latency(
        candidate.model,
        candidate.example(),
        n_threads=candidate.n_threads,
        device=candidate.device,
    )


def _time_runs(
    model: nn.Module, inputs: Arguments, device: torch.device, n_runs: int, max_seconds: float, least: int
) -> list[float]:
    times: list[float] = []
    while len(times) < n_runs and (len(times) < least or sum(times) < max_seconds):
        _wait_for(device)
        start = time.perf_counter()
        inputs.call(model)
        _wait_for(device)
        times.append(time.perf_counter() - start)
    return times


def _wait_for(device: torch.device) -> None:
    """CUDA runs behind the caller's back; a time without waiting is that of the launch."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
