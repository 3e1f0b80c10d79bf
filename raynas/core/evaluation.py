"""Evaluation: the outcome of one trial."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from statistics import fmean
from typing import Any, Literal

import numpy as np

from raynas.core.architecture import Architecture
from raynas.core.measurement import PROVENANCE, Provenance, from_entry, provenance_of, with_provenance
from raynas.core.relaxed_weights import RELAXED

Status = Literal["finished", "stopped", "failed"]

# What Tune adds to every result; none of it says how good the architecture is.
_TUNE_KEYS = frozenset(
    {"training_iteration", "iterations_since_restore", "time_this_iter_s", "time_total_s", "time_since_restore"}
    | {"timestamp", "timesteps_total", "timesteps_since_restore", "episodes_total", "warmup_time", "pid", "done"}
    | {"checkpoint_dir_name", "should_checkpoint", "complete", "failed", "out_of_disk"}
)
_TEXTS = frozenset(
    {"date", "experiment_id", "experiment_tag", "hostname", "node_ip", "trial_id"}
    | {"error", "reported", "unreported", PROVENANCE, RELAXED}
)


@dataclass(frozen=True)
class Evaluation:
    """One evaluated architecture.

    Args:
        arch: the architecture; inside a searcher that tunes hyperparameters too, the joint point.
        metrics: finite numbers by result key; those that were measured with care remember how, see ``provenance``.
        fidelity: how much training the metrics had: epochs for training, reports for a function of the user's.
        status: "finished" on its own, "stopped" early by a scheduler, or "failed".
        trial: the trial's name.
        error: the reason for the failure, one line.
        hyperparameters: what else the trial's config held.
        notes: what the trial reported besides, as text.
        first: earlier values of the metrics that were measured again at the end of the search, or in repeats.
        repeats: metrics of further trainings with other seeds, of which ``metrics`` then has the means.
    """

    arch: Architecture
    metrics: Mapping[str, float]
    fidelity: int = 1
    status: Status = "finished"
    trial: str = ""
    error: str = ""
    hyperparameters: Mapping[str, Any] = field(default_factory=dict, hash=False)
    notes: Mapping[str, str] = field(default_factory=dict, hash=False)
    first: Mapping[str, float] = field(default_factory=dict, hash=False)
    repeats: tuple[Mapping[str, float], ...] = field(default=(), hash=False)

    @property
    def ok(self) -> bool:
        """True if there are scores to learn from."""
        return self.status != "failed"

    @property
    def provenance(self) -> dict[str, Provenance]:
        """Origin of the metrics that have one, by name."""
        return provenance_of(self.metrics)

    @property
    def as_searched(self) -> "Evaluation":
        """The evaluation as it was before anything was measured again."""
        return replace(self, metrics={**self.metrics, **self.first}, first={}, repeats=())

    @property
    def as_trained_once(self) -> "Evaluation":
        """The evaluation without its repeats; what was measured again stays."""
        return replace(self, metrics={**self.metrics, **self._of_repeats}, first={**self.measured_first}, repeats=())

    @property
    def measured_first(self) -> dict[str, float]:
        """Earlier values of the metrics that were measured again at the end of the search."""
        return {name: value for name, value in self.first.items() if name not in self._of_repeats}

    @property
    def _of_repeats(self) -> dict[str, float]:
        names = {name for metrics in self.repeats for name in metrics}
        return {name: value for name, value in self.first.items() if name in names}

    def measured_again(self, metrics: Mapping[str, float]) -> "Evaluation":
        """Return the evaluation with values that were measured at the end of the search."""
        replaced = {name: self.metrics[name] for name in metrics if name in self.metrics}
        return replace(self, metrics={**self.metrics, **metrics}, first={**replaced, **self.first})

    def trained_again(self, metrics: Mapping[str, float]) -> "Evaluation":
        """Return the evaluation with another training; its metrics are then the means of the repeats alone.

        The first score is left out of the mean: it was chosen for being high.
        """
        repeats = (*self.repeats, metrics)
        shared = [name for name in metrics if all(name in repeat for repeat in repeats)]
        means = {name: fmean(repeat[name] for repeat in repeats) for name in shared}
        return replace(self.measured_again(means), repeats=repeats)

    @property
    def as_row(self) -> dict[str, Any]:
        """The evaluation as a row of a table, by the names of the columns; see ``SearchResult.to_frame``."""
        return {
            "trial": self.trial,
            "status": self.status,
            "fidelity": self.fidelity,
            **self.metrics,
            **self.hyperparameters,
            **{f"arch/{name}": option for name, option in self.arch.items()},
            **{f"note/{name}": text for name, text in self.notes.items()},
            **{f"doubt/{name}": origin.doubt for name, origin in self.provenance.items() if origin.doubt},
            **{f"first/{name}": value for name, value in self.first.items()},
            "error": self.error,
        }


def metrics_of(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite metrics in a flat Tune result, without what Tune adds to it."""
    metrics = {key: float(value) for key, value in reported_in(result).items() if is_metric(value)}
    return with_provenance(metrics, from_entry(result))


def notes_of(result: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts in a flat Tune result, without what Tune and raynas add to it."""
    return {key: value for key, value in reported_in(result).items() if isinstance(value, str) and value}


def reported_in(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a trial itself put into a flat Tune result."""
    own = {key: value for key, value in result.items() if key not in _TUNE_KEYS and not key.startswith("config/")}
    return {key: value for key, value in own.items() if key not in _TEXTS or not isinstance(value, str)}


def is_metric(value: object) -> bool:
    """Return whether a reported value is a finite number, also one of numpy."""
    return isinstance(value, Real | np.bool_) and math.isfinite(value)
