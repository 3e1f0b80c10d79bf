"""Settings of trials, which make a trainable for Tune from a space."""

import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, ClassVar

import ray
import torch
from ray import tune
from torch import nn

from raynas.accelerators import DEVICES, is_available
from raynas.core.architecture import Architecture, Option
from raynas.core.goal import Goal
from raynas.core.metric import Metric, Needs
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError, UnknownNameError
from raynas.metrics import METRICS, Measurer, Metrics
from raynas.metrics.table import COUNTED
from raynas.nodes import in_ray_names, may_have
from raynas.trials.checkpoint import State
from raynas.trials.progress import Result
from raynas.trials.runner import TrialRunner
from raynas.trials.trainable import ArchitectureTrainable
from raynas.trials.trial import Trial
from raynas.trials.weights import with_weights
from raynas.validate import is_number, make_plain, require, require_whole

Cost = Callable[[Architecture], float]
"""A metric as a function of an architecture."""

TRAIN_IT = "train the network that space.build(result.best().arch) gives, or call result.retrain()"
"""The remedy where a search has no trained network."""


@dataclass(frozen=True)
class TrialSettings(ABC):
    """Settings of a trainable that scores architectures."""

    measures: ClassVar[frozenset[Needs]] = frozenset()
    """The needs of the metrics that a trial measures when it is asked to."""

    counts: ClassVar[Collection[str]] = COUNTED
    """Names of the metrics that a trial measures in any case, where they can be."""

    resumes_after_errors: ClassVar[bool] = False
    """True if a trial that fails after a report is tried again from its last checkpoint, as after a lost worker."""

    irrelevant: ClassVar[frozenset[str]] = frozenset(
        ("bulk", "cache_images", "data_dir", "data_workers", "device", "gpus", "n_threads", "stream_above_gb")
    )
    """Names of the settings that scores do not depend on."""

    @abstractmethod
    def trainable(self, space: SearchSpace, metrics: Metrics = ("accuracy",)) -> type[tune.Trainable]:
        """Return a class for ``tune.Tuner``, for trials whose config holds an architecture of ``space`` under "arch".

        Args:
            space: the space to search.
            metrics: metrics that every result must hold, or their names; NaN where a trial failed. Those that the trial
                does not report are measured before it starts.
        """

    def check_hyperparameters(self, names: Iterable[str]) -> None:
        """Refuse hyperparameters that no trial uses, before trials start; by default none is refused.

        Raises:
            UnknownNameError: if one is unknown.
        """
        return

    @property
    def reports(self) -> frozenset[str] | None:
        """Names of the metrics that every trial reports; None if only the trainable itself knows them."""
        return None

    def check_goal(self, goal: Goal) -> None:
        """Refuse a metric that no trial reports and that cannot be measured, before any trial starts.

        Nothing is refused that only the trainable itself could know to report.

        Args:
            goal: names the metrics.

        Raises:
            UnknownNameError: if there is such a metric; names those there are.
        """
        if self.reports is None:
            return
        measured = {name for name, metric in goal.metrics.items() if metric.measure and metric.needs in self.measures}
        for name in goal.asked:
            if name not in self.reports | measured:
                raise UnknownNameError("metric", name, self.reports | measured)

    @property
    def resources(self) -> dict[str, float]:
        """Resources of a trial, for ``tune.with_resources``."""
        return {"cpu": 1}

    @property
    def bundles(self) -> list[dict[str, float]]:
        """Resources of a trial, each bundle on one node; most trials need one."""
        return [self.resources]

    @property
    def max_fidelity(self) -> int:
        """Maximum number of reports of a trial."""
        return 1

    @property
    def bulk_size(self) -> int:
        """Number of architectures proposed at a time, for scores so cheap that a few actors compute them in bulk.

        0 means a Tune trial each.
        """
        return 0

    def costs(self, space: SearchSpace, metrics: Mapping[str, Metric] = METRICS) -> dict[str, Cost]:
        """Return the metrics that can be measured before a trial, by which hard constraints refuse architectures."""
        return Measurer(space).costs(metrics.values())

    def trained_model(self, space: SearchSpace, arch: Architecture, state: State | None) -> nn.Module:
        """Return the network of an architecture with the weights that its trial gave it, in eval mode.

        Args:
            space: the space of the search.
            arch: the architecture.
            state: the state in the last checkpoint of its trial; None if there is none.

        Raises:
            RaynasError: if there are no weights.
        """
        raise RaynasError(f"raynas does not know how this trainable saves them; {TRAIN_IT}")

    @property
    def description(self) -> str:
        """These settings in one line, as far as scores depend on them: two searches may be one if these are equal."""
        given = [
            f"{field.name}={_lasting_repr(getattr(self, field.name))}"
            for field in fields(self)
            if field.name not in self.irrelevant and getattr(self, field.name) != _default(field)
        ]
        return f"{type(self).__name__}({', '.join(given)})"


def _default(field: Field[Any]) -> object:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _lasting_repr(value: object) -> str:
    """Return a representation without addresses in memory, which differ from run to run."""
    while isinstance(value, functools.partial):  # its arguments may be data
        value = value.func
    if hasattr(value, "__qualname__"):
        return repr(f"{value.__module__}:{value.__qualname__}")
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


@dataclass(frozen=True, kw_only=True)
class ArchitectureSettings(TrialSettings):
    """Base of the settings of trials that score one architecture each.

    Args:
        seed: seed of weights, data order and augmentation, together with the architecture.
        device: "cpu", "cuda", "mps" or "xpu", or "auto" for "cuda" where there is one.
        gpus: share of a GPU that a trial asks Ray for, where trials run on GPUs; 0.5 puts two on each, each of which
            gets half of the memory.
        n_threads: CPU threads of a trial, and CPUs that it asks Ray for.
        latency_threads: CPU threads that latency, and other metrics of the device, are measured with.
    """

    seed: int = 0
    device: str = "auto"
    gpus: float = 1.0
    n_threads: int = 1
    latency_threads: int = 1

    trains: ClassVar[bool] = False
    """True if a trial trains its network, so that another seed gives another score."""

    DEVICES: ClassVar[tuple[str, ...]] = ("auto", *DEVICES)
    measures: ClassVar[frozenset[Needs]] = frozenset(("shapes", "weights", "device"))

    def __post_init__(self) -> None:
        make_plain(self)
        require(self.device in self.DEVICES, f"device must be one of {', '.join(self.DEVICES)}", self.device)
        rule = "gpus must be above 0 and at most 1: a process computes on one GPU"
        require(is_number(self.gpus) and 0 < self.gpus <= 1, rule, self.gpus)
        for name in ("n_threads", "latency_threads"):
            require_whole(name, getattr(self, name), 1)
        require_whole("seed", self.seed, 0)

    @abstractmethod
    def runner(self, space: SearchSpace, metrics: Metrics = ("accuracy",)) -> TrialRunner[Trial[Any]]:
        """Return what scores architectures of ``space`` in this process, and what ``trainable`` sends to others.

        Raises:
            RaynasError: if data, space and settings do not fit together; better here than in every trial.
        """

    def trainable(self, space: SearchSpace, metrics: Metrics = ("accuracy",)) -> type[tune.Trainable]:
        """Return a class for ``tune.Tuner``; objects that trials share are in Ray's object store, once per node.

        It belongs to one Ray cluster: make another after ``ray.shutdown``.
        """
        runner = self.runner(space, metrics)
        if len(self.bundles) == 1:
            cls = tune.with_parameters(ArchitectureTrainable, runner=runner)
            return tune.with_resources(cls, self.resources)  # type: ignore[no-any-return]
        cls = tune.with_parameters(ArchitectureTrainable, runner=[ray.put(runner)])
        return tune.with_resources(cls, tune.PlacementGroupFactory(list(map(in_ray_names, self.bundles))))  # type: ignore[no-any-return]

    def evaluate(
        self,
        space: SearchSpace,
        arch: Mapping[str, Option],
        hyperparameters: Mapping[str, object] | None = None,
        on_result: Callable[[Result], None] | None = None,
        *,
        metrics: Metrics = (),
    ) -> Result:
        """Score one architecture in this process, without Ray; return the last result of its trial.

        Args:
            space: the space that ``arch`` belongs to.
            arch: the architecture.
            hyperparameters: the other entries of a trial's config.
            on_result: called with every result, once per epoch.
            metrics: metrics to measure besides, or their names.

        Raises:
            RaynasError: if data, space and settings do not fit together. A training that fails raises nothing: the
                result has ``failed`` 1 and the reason under ``error``.
        """
        runner = self.runner(space, metrics) if metrics else self.runner(space)
        return runner.run({"arch": dict(arch), **(hyperparameters or {})}, on_result)

    def trained_model(self, space: SearchSpace, arch: Architecture, state: State | None) -> nn.Module:
        """Return the network with the weights that a trial's ``state`` holds under "model"."""
        if state is None or "model" not in state:
            raise RaynasError(f"it has no checkpoint that holds any; {TRAIN_IT}")
        return with_weights(self.trained_space(space), arch, state["model"])

    def trained_space(self, space: SearchSpace) -> SearchSpace:
        """Return the space of the networks that trials train: that of the search, unless they train smaller ones."""
        return space.architecture_space

    def costs(self, space: SearchSpace, metrics: Mapping[str, Metric] = METRICS) -> dict[str, Cost]:
        """Return the metrics as trials measure them; without those of a GPU that this process does not see."""
        measurer = Measurer(space, device=self.device_type, n_threads=self.latency_threads, seed=self.seed)
        return measurer.costs(metrics.values())

    @property
    def resources(self) -> dict[str, float]:
        """One CPU per thread, and a GPU if trials run on one."""
        return {"cpu": self.n_threads, **({"gpu": self.gpus} if self.uses_gpu else {})}

    @property
    def torch_device(self) -> torch.device:
        """Device of this process that trials compute on.

        Raises:
            RaynasError: if the settings require a GPU and there is none.
        """
        if self.device == "auto":
            return torch.device("cuda" if is_available("cuda") else "cpu")
        if not is_available(self.device):
            what = "no GPU" if self.device == "cuda" else f"none of torch's {self.device!r}"
            raise RaynasError(
                f"device {self.device!r} is asked for, but this process sees {what}; use device 'auto' or 'cpu'"
            )
        return torch.device(self.device)

    @property
    def device_type(self) -> str:
        """Type of the device of trials, which may run on other nodes than this process."""
        if self.device != "auto":
            return self.device
        return "cuda" if self.uses_gpu else "cpu"

    @property
    def uses_gpu(self) -> bool:
        """True if trials run on what Ray calls GPUs, those of CUDA and XPU; it does not count that of a Mac."""
        if self.device != "auto":
            return self.device in ("cuda", "xpu")
        return may_have("GPU") if ray.is_initialized() else torch.cuda.is_available()


def refuse_all(kind: str, names: Iterable[str]) -> None:
    """Refuse any name.

    Args:
        kind: the kind of the names, for the message.
        names: the names.

    Raises:
        UnknownNameError: if there is any.
    """
    for name in names:
        raise UnknownNameError(kind, name, ())
