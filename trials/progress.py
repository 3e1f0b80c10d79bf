"""Progress of the evaluation of one architecture: one object per trial."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from raynas.core.architecture import Architecture
from raynas.core.measurement import as_entry
from raynas.metrics import METRICS
from raynas.metrics.table import INHERITED, TAUGHT
from raynas.trials.checkpoint import Checkpoint, State

Config = Mapping[str, Any]
"""Config of a Tune trial: the architecture under "arch", hyperparameters beside it."""

Result = dict[str, Any]
"""Result after an epoch, flat: metrics, and the progress of the trial."""

STANDARD = tuple(
    name for name, metric in METRICS.items() if metric.needs == "shapes" and name not in (*TAUGHT, *INHERITED)
)
"""Metrics of every result: those that trials report, and those that are counted of every network."""


@dataclass
class Progress:
    """State of one evaluation, apart from the network.

    Args:
        arch: the architecture.
        hyperparameters: the other entries of the config.
        stage: current step of the evaluation, named in errors.
        epoch: number of epochs done.
        done: True after the last epoch.
        reports_again: True if the next result is that of the epoch in the checkpoint, which may not have been reported.
        error: reason of the failure in one line; empty if there is none.
        traceback: traceback of the failure.
        is_out_of_disk: True if it failed because a disk was full.
        costs: metrics measured before the start.
        scores: metrics of the last epoch.
        notes: text for the result, by key.
        reported: names of the metrics that the trial has reported so far.
        unreported: name of a metric that was asked for and that the trial does not report.
        train_seconds: time spent in ``Trial.advance``, earlier processes included.
        earlier_peak_mb: peak memory of earlier processes, in MB.
    """

    arch: Architecture = field(default_factory=lambda: Architecture({}))
    hyperparameters: Mapping[str, object] = field(default_factory=dict)
    stage: str = "config"
    epoch: int = 0
    done: bool = False
    reports_again: bool = False
    error: str = ""
    traceback: str = ""
    is_out_of_disk: bool = False
    costs: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    reported: frozenset[str] = frozenset()
    unreported: str = ""
    train_seconds: float = 0.0
    earlier_peak_mb: float = 0.0

    @property
    def failed(self) -> bool:
        """True after a failure."""
        return bool(self.error)

    def result(self, required: Iterable[str], peak_mb: float) -> Result:
        """Return the result after the last epoch.

        Args:
            required: metrics to report besides those in ``STANDARD``; NaN where unknown.
            peak_mb: peak memory of this process, in MB.
        """
        scores, notes = ({}, {}) if self.failed else (self.scores, self.notes)
        return {
            **dict.fromkeys((*STANDARD, *required), math.nan),
            **{name: float(value) for name, value in self.costs.items()},
            **as_entry({**{name: value for name, value in self.costs.items() if name not in notes}, **scores}),
            "train_seconds": self.train_seconds,
            "peak_memory_mb": max(peak_mb, self.earlier_peak_mb),
            **scores,
            **notes,
            **self._missing,
            **({"out_of_disk": 1} if self.is_out_of_disk else {}),
            "training_iteration": self.epoch,
            "complete": int(self.done and not self.failed),
            "failed": int(self.failed),
            "error": self.error,
            "done": self.done or self.failed,
        }

    @property
    def _missing(self) -> dict[str, str]:
        """Text for the result of a trial that does not report a metric: its name, and the names of those reported."""
        if not self.unreported:
            return {}
        return {"unreported": self.unreported, "reported": ", ".join(sorted(self.reported))}

    def checkpoint(self, state: State | None, peak_mb: float) -> Checkpoint:
        """Return the checkpoint of the last epoch.

        Args:
            state: the state of the trial; None if it cannot be resumed.
            peak_mb: peak memory of this process, in MB.
        """
        return Checkpoint(
            arch=self.arch,
            epoch=self.epoch,
            state=state,
            train_seconds=self.train_seconds,
            peak_memory_mb=max(peak_mb, self.earlier_peak_mb),
            costs=self.costs,
            scores=self.scores,
        )
