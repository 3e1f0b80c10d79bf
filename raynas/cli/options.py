"""The options of the two scripts that belong to no table, as typed dataclasses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raynas.errors import SettingError
from raynas.run.on_change import check_on_change
from raynas.storage.location import is_uri, local_folder
from raynas.validate import positive, require_whole

FROM_DATA = ("space.input_shape", "space.n_classes", "model.input")
"""Options of a space that follow from the data where training knows it."""


def check_name(name: str | None) -> None:
    """Check the name of a folder of results; None for one that raynas makes.

    Raises:
        SettingError: if it cannot be a folder's.
    """
    if name is not None and not re.fullmatch(r"[\w.-]*\w[\w.-]*", name):
        raise SettingError(f"name must be letters, digits, '.', '_' and '-', got {name!r}")


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Objectives, constraints and length of the search.

    Args:
        objectives: metrics to optimise, the one that early stopping goes by first: accuracy, loss, params, macs,
            activations, inference_memory_mb, size_mb, latency_ms, energy_mj, train_seconds, peak_memory_mb; max:NAME or
            min:NAME for a metric of your own.
        constraints: limits, each in quotes: "latency_ms <= 5", "params < 0.9 * baseline", "macs <= 300M soft".
        metrics: metrics to measure and show besides, such as latency_ms, or your own: package.module:name of a
            raynas.Metric, which objectives and constraints may then name. Code is named by the flag, not in a file.
        num_samples: trials in the end; a larger number extends a finished search.
        seed: seed of the strategy (that of the training is --trainable.seed).
        generation_size: proposals made at once, and observed in their order when all of their trials have ended; the
            search is then the same for any --max_concurrent. By default a proposal is made as soon as there is room.
        hyperparameters: searched together with the architecture: --hyperparameters.lr "loguniform(1e-3, 1e-1)",
            likewise uniform(low, high), randint(low, high) without high, lograndint, with q in front and a step behind
            for a grid: quniform(0, 1, 0.1); choice(a, b, ...), or a constant.
        baseline: what "baseline" in a constraint refers to: default (the first option of every decision), or a file
            with an architecture, or its JSON. It is tried first, and shown beside what is found.
        funnel: a search in stages, each on the best of the one before, in quotes: "TRAINABLE NUMBER [METRIC ...]
            [OPTION=VALUE ...]", e.g. "zero_cost 1000 synflow" "train 60 epochs=2" "train 8 epochs=30". Other options of
            a stage are those of --trainable. The strategy, random by default, proposes the first.
        tolerance: difference of the first objective up to which the cheaper network is chosen; 0 for exact ties alone,
            by default one standard error of the best.
        warm_start: folders of other searches of this space; the strategy learns from what they found, which counts as
            no trials.

    Raises:
        SettingError: if a number is too small.
    """

    objectives: tuple[str, ...] = ("accuracy",)
    constraints: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    num_samples: int = 60
    seed: int = 0
    generation_size: int | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    baseline: str | None = None
    funnel: tuple[str, ...] = ()
    tolerance: float | None = None
    warm_start: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_whole("num_samples", self.num_samples, 1)
        require_whole("seed", self.seed, 0)
        if self.generation_size is not None:
            require_whole("generation_size", self.generation_size, 1)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Cluster, and folder of the results.

    Args:
        name: name of this search's folder; by default made of what is searched and how, so that the same command
            resumes.
        results: folder that holds the folders of all searches; on a cluster, one that every node sees, or a storage
            such as s3://bucket/path, of which ~/ray_results then has a working copy.
        max_concurrent: trials at a time; by default as many as there are CPUs (or GPUs) for. 1 makes a search
            reproducible, as --generation_size does.
        max_trial_seconds: time of a trial after which it has failed, also in a loop that never returns.
        retry_failed: try the failed trials of earlier runs again though nothing changed; if their code or data changed,
            they are anyway.
        on_change: if code, settings or data of finished trials changed: refuse, continue (keep what was found), or
            warm_start (learn from it, count only new trials).
        max_failures_in_a_row: failures in a row with one reason that end the search; 0 for never.
        address: of a running Ray cluster, e.g. auto; by default RAY_ADDRESS, or Ray is started on this machine.
        progress: show a live table.
        tensorboard: write TensorBoard logs.
        trackers: experiment trackers that get a run for the search and one for each trial: mlflow, wandb. Their own
            environment variables say where: MLFLOW_TRACKING_URI, WANDB_PROJECT, WANDB_MODE=offline.

    Raises:
        SettingError: if the name cannot be a folder's, a number is out of range, or ``on_change`` has no such value.
    """

    name: str | None = None
    results: str = "results"
    max_concurrent: int | None = None
    max_trial_seconds: float | None = None
    retry_failed: bool = False
    on_change: str = "refuse"
    max_failures_in_a_row: int = 10
    address: str | None = None
    progress: bool = True
    tensorboard: bool = True
    trackers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.max_concurrent is not None:
            require_whole("max_concurrent", self.max_concurrent, 1)
        if self.max_trial_seconds is not None:
            positive("max_trial_seconds", self.max_trial_seconds)
        require_whole("max_failures_in_a_row", self.max_failures_in_a_row, 0)
        check_on_change(self.on_change)

    @property
    def path(self) -> Path:
        """The folder on this machine of a search that has a name."""
        return local_folder(self.results) / str(self.name)

    @property
    def storage_path(self) -> str:
        """The storage of all searches, as Tune's run config names it."""
        return self.results if is_uri(self.results) else str(local_folder(self.results))


@dataclass(frozen=True, kw_only=True)
class LatencyOptions:
    """Latency: what runs the networks when it is measured; any of these measures and shows it.

    Args:
        backend: eager (PyTorch as it is), cuda_graph, compile, export (AOTInductor), onnxruntime, executorch, openvino
            or tensorrt; by default eager, and onnxruntime's file for a measurement of your own.
        device: names of devices of the Ray cluster, nodes with the resource device:NAME, each measured as
            latency_ms@NAME; by default the machine that a trial runs on.
        measure: your own measurement: package.module:function, which gets the path of the exported file and returns ms,
            or an executable with arguments, which prints them. Code is named by the flag, not in a file.
        batch_size: number of examples of a run.
        dtype: type of weights and real inputs: float32, float16 or bfloat16.
        time_limit: seconds after which your own measurement has failed.
        table: file that raynas profile made: latency is the sum of its operations, nothing is measured.
        predictor: file of a raynas.LatencyPredictor, which predicts latency; --latency.backend then measures the winner
            at the end.

    Raises:
        SettingError: if a number is out of range.
    """

    backend: str | None = None
    device: tuple[str, ...] = ()
    measure: str | None = None
    batch_size: int = 1
    dtype: str = "float32"
    time_limit: float = 300.0
    table: str | None = None
    predictor: str | None = None

    def __post_init__(self) -> None:
        require_whole("latency.batch_size", self.batch_size, 1)
        positive("latency.time_limit", self.time_limit)


@dataclass(frozen=True, kw_only=True)
class RepeatOptions:
    """Repeats: the best trained again with other seeds at the end, because one score is partly chance.

    Args:
        top: number of the best that are trained again; 0 for none. The winner is chosen by the mean of its repeats.
        seeds: number of further trainings of each.

    Raises:
        SettingError: if a number is too small.
    """

    top: int = 0
    seeds: int = 3

    def __post_init__(self) -> None:
        require_whole("repeats.top", self.top, 0)
        require_whole("repeats.seeds", self.seeds, 1)


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Comparison after the search.

    Args:
        compare_random: run random search too, with as many trials, and compare; takes about as long again. What it
            finds is a candidate too.
    """

    compare_random: bool = True


@dataclass(frozen=True, kw_only=True)
class RetrainOptions:
    """The winner, trained from scratch on training and validation images and tested.

    Args:
        epochs: number of epochs of the winner's training to its end; 0 leaves it out.
        space: size of the final network: --retrain.space.channels 32.

    Raises:
        SettingError: if ``epochs`` is negative.
    """

    epochs: int = 30
    space: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_whole("retrain.epochs", self.epochs, 0)


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Folder of the trained network.

    Args:
        output: folder for weights, architecture and metrics; by default a folder beside the architecture file.
        fingerprint: that of the space in the search, where it was one of yours; none if it may have changed since.
    """

    output: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExportFlags(OutputOptions):
    """Files of the exported network.

    Args:
        output: folder of the files; by default "export" beside the architecture file.
        fingerprint: that of the space in the search, where it was one of yours; none if it may have changed since.
        weights: a safetensors file; by default weights.safetensors beside the architecture file.
        formats: those to write of source, program and onnx, besides weights and card.
        overwrite: write to a folder that holds other files; by default only an earlier export is replaced.
        verify: check every file in a fresh process that cannot import raynas.
    """

    weights: str | None = None
    formats: tuple[str, ...] = ("source", "program", "onnx")
    overwrite: bool = False
    verify: bool = True


def names_code(value: str) -> bool:
    """Return whether a value is ``module:function``, which is imported and called."""
    module, colon, _ = value.partition(":")
    return bool(colon) and module not in ("npz", "folder") and all(map(str.isidentifier, module.split(".")))
