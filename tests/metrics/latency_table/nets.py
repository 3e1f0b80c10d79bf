"""A small space of networks for tests of tables, and made-up timings."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments
from raynas.metrics.latency import LatencyMeasure, Timing
from raynas.metrics.latency.side_by_side import Part
from raynas.metrics.latency_table.calls import Call, calls_of
from raynas.nn import Choice, ModelSpace


class Residual(nn.Module):
    """The sum of a layer's output and its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 8))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, 8)`` to the same shape."""
        out: Tensor = x + self.body(x)
        return out


class Net(nn.Module):
    """Four choices between three widths and nothing, one after the other, in one module, as in a cell."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 8)
        self.cell = nn.Sequential(*(Choice({"none": nn.Identity, **branches()}) for _ in range(4)))
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, 4)`` to ``(batch, 2)``."""
        out: Tensor = self.head(2 * self.cell(self.stem(x)))
        return out


def branches() -> dict[str, Callable[[], nn.Module]]:
    """Return the options of a choice."""
    return {"8": lambda: Residual(8), "16": lambda: Residual(16), "32": lambda: Residual(32)}


def small_space() -> ModelSpace:
    """Return the space of 256 networks."""
    return ModelSpace(Net, input_shape=(4,))


def traced(model: nn.Module, *shape: int) -> Call:
    """Return the call of a network on a batch of one."""
    return calls_of(model, lambda: torch.empty(1, *shape, device="meta"), {})


class Watch:
    """Pretends to measure: a module takes 0.1 ms, and 1 ms for each thousand parameters.

    Args:
        limit: number of measurements after which it is interrupted.
    """

    def __init__(self, limit: int = 10**6) -> None:
        self.limit = limit
        self.modules: list[nn.Module] = []
        self.shapes: list[Sequence[int]] = []

    def replace(self, monkeypatch: pytest.MonkeyPatch) -> "Watch":
        """Take the place of measurements."""

        def timings(measure: LatencyMeasure, parts: Iterable[Part], **given: object) -> Iterator[Timing]:
            return (self.timing(measure, *part) for part in parts)

        monkeypatch.setattr(LatencyMeasure, "timings", timings)
        return self

    def timing(self, measure: LatencyMeasure, model: nn.Module, inputs: Arguments) -> Timing:
        """Return a made-up latency of a module, which must run."""
        if len(self.modules) == self.limit:
            raise KeyboardInterrupt
        self.modules.append(model)
        self.shapes.append(tuple(inputs.tensors[0].shape))
        inputs.call(model)
        ms = 0.1 + sum(p.numel() for p in model.parameters()) / 1000
        return Timing(
            ms=ms,
            spread=0.0,
            backend=measure.backend,
            version="1",
            device="made up",
            n_threads=1,
            batch_size=measure.batch_size,
            dtype=measure.dtype,
            n_runs=1,
            doubt="",
        )
