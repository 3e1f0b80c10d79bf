"""Metric: a named number that an architecture has: its direction, its unit and, if there is one, its measurement."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError, SettingError

Mode = Literal["max", "min"]
"""Direction of better values of a metric."""

Needs = Literal["shapes", "weights", "device", "data"]
"""The least that a measurement needs of a candidate:

- "shapes": the network on the meta device, without values; in any process.
- "weights": a freshly initialised network on the CPU; in any process.
- "device": a freshly initialised network on the device that trials run on; where that device is.
- "data": a freshly initialised network on the CPU and a batch of training data; where the data can be read.
"""

NAME = r"[^\s<>=*:\d][^\s<>=*:]*"
"""The names that metrics may have: "val/loss", "latency_ms@jetson"; nothing that an objective or a constraint reads as
its own."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An architecture to be measured.

    Networks and data are made when they are first used, and shared with the other metrics of the architecture, so a
    measurement must leave them as they were.

    Args:
        space: the space of the architecture.
        arch: the architecture, canonical.
        device: the device to measure on: "meta" for metrics that need shapes alone.
        n_threads: CPU threads to measure with.
        seed: of everything random; the weights already follow from it and the architecture.
        build: gives the network.
        count: gives a count of the network, of one example where it depends on inputs, by name: "params", "macs",
            "activations", or "inference_memory" in bytes.
        draw: gives a batch of training data, inputs and targets; None if there is no data.
    """

    space: SearchSpace
    arch: Architecture
    device: torch.device
    n_threads: int = 1
    seed: int = 0
    build: Callable[[], nn.Module]
    count: Callable[[str], int]
    draw: Callable[[], tuple[Any, Tensor]] | None = None

    @property
    def model(self) -> nn.Module:
        """The network, in training mode as the space builds it."""
        return self.build()

    @property
    def params(self) -> int:
        """The number of parameters."""
        return self.count("params")

    @property
    def macs(self) -> int:
        """The number of multiply-adds for one example."""
        return self.count("macs")

    def example(self, batch_size: int = 1) -> Any:
        """Return inputs of the network, on the device of the candidate; ``Arguments.of(inputs).call(model)`` runs it.

        For a network of a single tensor that is ``model(inputs)``.
        """
        inputs = self.space.example(batch_size, self.device)
        return inputs.args[0] if len(inputs.args) == 1 and not inputs.kwargs else inputs

    @property
    def batch(self) -> tuple[Any, Tensor]:
        """Inputs and targets of training examples, on the CPU.

        Raises:
            RaynasError: if there is no data.
        """
        if self.draw is None:
            raise RaynasError("there is no batch of training data here")
        return self.draw()


Measure = Callable[[Candidate], float]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A named number that an architecture has.

    Args:
        name: its key in results, objectives and constraints; put the unit in it, as in "energy_mj".
        mode: which values are better, "max" or "min".
        unit: shown behind values, such as "ms".
        title: shown in tables; the name if empty.
        measure: gives the value for a candidate, before any training; it may raise. None if a trial reports the metric.
            It travels to other processes: functions of a script or a notebook are pickled by value, those of a module
            by reference, so the module must be importable there.
        needs: see ``Needs``.
        final: measurement of the winner and the Pareto front at the end of a search whose goal names the metric: True
            for the same one again, in a fresh process; another metric for its value, such as a measured latency for a
            predicted one; False for none.

    Raises:
        SettingError: if the name, the mode, the needs or the final measurement are none.
    """

    name: str
    mode: Mode
    unit: str = ""
    title: str = ""
    measure: Measure | None = None
    needs: Needs = "shapes"
    final: "Metric | bool" = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(NAME, self.name):
            raise SettingError(
                f"the name of a metric must not begin with a digit nor hold spaces, <, >, =, * or :, got {self.name!r}"
            )
        for field, value, known in (("mode", self.mode, get_args(Mode)), ("needs", self.needs, get_args(Needs))):
            if value not in known:
                raise SettingError(f"{field} of metric {self.name!r} must be one of {', '.join(known)}, got {value!r}")
        if self.measure is not None and not callable(self.measure):
            raise SettingError(
                f"measure of metric {self.name!r} must be a function of a candidate, got {self.measure!r}"
            )
        final = self if self.final is True else self.final
        if not isinstance(final, Metric | bool) or (isinstance(final, Metric) and final.measure is None):
            raise SettingError(
                f"final of metric {self.name!r} must be True, False or a metric, with a measure, got {self.final!r}"
            )

    @property
    def at_end(self) -> "Metric | None":
        """The metric that gives the value, under the same name, at the end of a search; None if none does."""
        if isinstance(self.final, Metric):
            return replace(self.final, name=self.name, mode=self.mode)
        return self if self.final else None
