"""The base of all trainables: settings that make a class for Tune, and the actor that Tune makes of it."""

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import ray
import torch
from ray import tune

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.errors import one_line
from raynas.metrics import MetaModels, untrained_metrics
from raynas.metrics.latency import latency_ms
from raynas.trials.trial import CHECKPOINT_KEY, ArchitectureTrial, Result
from raynas.validate import is_number, require, require_whole

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialSettings(ABC):
    """How architectures are scored; the settings of a trainable."""

    @abstractmethod
    def trainable(self, space: SearchSpace, metrics: Sequence[str] = ("accuracy",)) -> type[tune.Trainable]:
        """The class to give to ``tune.Tuner``, for trials whose config holds an architecture of ``space`` under "arch".

        Args:
            space: what is searched.
            metrics: what every result must hold; NaN where a trial failed.
        """

    def check_hyperparameters(self, names: Iterable[str]) -> None:
        """Refuse names that no trial could do anything with, before trials start; by default all are welcome.

        Raises:
            UnknownNameError: if one is unknown.
        """
        return

    def check_metrics(self, names: Iterable[str]) -> None:
        """Refuse metrics that no trial reports, before trials start; by default all are welcome.

        Raises:
            UnknownNameError: if one is unknown.
        """
        return

    @property
    def resources(self) -> dict[str, float]:
        """What a trial needs, as ``tune.with_resources`` takes it."""
        return {"cpu": 1}

    @property
    def max_fidelity(self) -> int:
        """The most reports that a trial gives."""
        return 1

    @property
    def bulk_size(self) -> int:
        """How many architectures are proposed at a time, for scores so cheap that a few actors compute them in bulk.

        0 is for a Tune trial each.
        """
        return 0

    def costs(self, space: SearchSpace) -> dict[str, Callable[[Architecture], float]]:
        """The metrics that can be told before a trial, by which hard constraints refuse architectures."""
        return untrained_metrics(space)

    @property
    def description(self) -> str:
        """These settings in one line, as far as scores depend on them: two searches may be one if these are equal."""
        told = [
            f"{field.name}={_lasting_repr(getattr(self, field.name))}"
            for field in fields(self)
            if field.name not in _WHERE and getattr(self, field.name) != _default(field)
        ]
        return f"{type(self).__name__}({', '.join(told)})"


_WHERE = frozenset(("bulk", "data_dir", "device", "gpus", "n_threads"))
"""Settings that say where a trial runs, not what it does."""


def _default(field: Any) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _lasting_repr(value: Any) -> str:
    """Without an address in memory, which differs from run to run."""
    if hasattr(value, "__qualname__"):
        return repr(f"{value.__module__}:{value.__qualname__}")
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


@dataclass(frozen=True, kw_only=True)
class ArchitectureSettings(TrialSettings):
    """What all settings of trials that score one architecture each have in common.

    Args:
        seed: of weights, data order and augmentation, together with the architecture.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        gpus: share of a GPU that a trial asks Ray for, where trials run on GPUs; 0.5 puts two on each.
        n_threads: CPU threads of a trial, and CPUs that it asks Ray for.
        latency_threads: CPU threads that latency is measured with.
    """

    seed: int = 0
    device: str = "auto"
    gpus: float = 1.0
    n_threads: int = 1
    latency_threads: int = 1

    DEVICES: ClassVar[tuple[str, ...]] = ("auto", "cpu", "cuda")

    def __post_init__(self) -> None:
        require(self.device in self.DEVICES, f"device must be one of {', '.join(self.DEVICES)}", self.device)
        require(is_number(self.gpus) and self.gpus > 0, "gpus must be greater than 0", self.gpus)
        for name in ("n_threads", "latency_threads"):
            require_whole(name, getattr(self, name), 1)
        require_whole("seed", self.seed, 0)

    @abstractmethod
    def trial(self, space: SearchSpace, metrics: Sequence[str] = ("accuracy",)) -> ArchitectureTrial:
        """What scores architectures of ``space`` in this process, and which ``trainable`` ships to others.

        Raises:
            RaynasError: if data, space and settings do not fit together; better here than in every trial.
        """

    def trainable(self, space: SearchSpace, metrics: Sequence[str] = ("accuracy",)) -> type[tune.Trainable]:
        """The class to give to ``tune.Tuner``; what trials share lies in Ray's object store, once per node.

        It is good for one Ray cluster: make another after ``ray.shutdown``.
        """
        shared = tune.with_parameters(ArchitectureTrainable, trial=self.trial(space, metrics))
        return tune.with_resources(shared, self.resources)  # type: ignore[no-any-return]

    def evaluate(
        self,
        space: SearchSpace,
        arch: Mapping[str, Any],
        hyperparameters: Mapping[str, Any] | None = None,
        on_result: Callable[[Result], None] | None = None,
    ) -> Result:
        """Score one architecture in this process, without Ray; gives what the trial's last result would hold.

        Args:
            space: the space that ``arch`` belongs to.
            arch: the architecture.
            hyperparameters: what the config of a trial would hold besides.
            on_result: called with every result, that is once per epoch.

        Raises:
            RaynasError: if data, space and settings do not fit together. A training that fails raises nothing: the
                result has ``failed`` 1 and the reason under ``error``.
        """
        return self.trial(space).run({"arch": dict(arch), **(hyperparameters or {})}, on_result)

    def costs(self, space: SearchSpace) -> dict[str, Callable[[Architecture], float]]:
        """As trials measure them; without latency where trials run on a GPU that this process cannot see."""
        costs = super().costs(space)
        on_gpu = self._uses_gpu()
        if on_gpu and not torch.cuda.is_available():
            del costs["latency_ms"]
        else:
            where: dict[str, Any] = {"device": "cuda" if on_gpu else "cpu", "n_threads": self.latency_threads}
            costs["latency_ms"] = partial(latency_ms, MetaModels(space), **where)
        return costs

    @property
    def resources(self) -> dict[str, float]:
        """A CPU per thread, and a GPU where trials run on one."""
        return {"cpu": self.n_threads, **({"gpu": self.gpus} if self._uses_gpu() else {})}

    def _uses_gpu(self) -> bool:
        if self.device != "auto":
            return self.device == "cuda"
        return bool(ray.cluster_resources().get("GPU")) if ray.is_initialized() else torch.cuda.is_available()


class ArchitectureTrainable(tune.Trainable):
    """The class that Tune makes an actor of: each trial scores the architecture in its config.

    Made by ``settings.trainable(space)``. Actors can be reused.
    """

    def setup(self, config: dict[str, Any], trial: ArchitectureTrial | None = None) -> None:
        """Begin the first trial of an actor."""
        if trial is None:
            raise TypeError("ArchitectureTrainable is made by settings.trainable(space), not used as it is")
        self._architecture_trial = trial
        trial.directory = self._storage.trial_fs_path if self._storage else None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in the same actor; never refused, which would make Tune lose the trial."""
        self._architecture_trial.begin(new_config)
        self._told_traceback = ""
        return True

    def step(self) -> Result:
        """One epoch, and what is known after it."""
        result = self._architecture_trial.step()
        self._tell_traceback()
        return result

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write a checkpoint."""
        self._architecture_trial.save(checkpoint_dir)

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Go on from a checkpoint."""
        self._architecture_trial.load(checkpoint)

    def cleanup(self) -> None:
        """Drop the network."""
        self._architecture_trial.release()

    def _tell_traceback(self) -> None:
        """Write the traceback of a failure to error.txt in the trial's folder, once."""
        text = self._architecture_trial.traceback
        if not text or text == self._told_traceback:
            return
        self._told_traceback = text
        try:
            storage = self._storage
            if storage is None:
                Path(self.logdir, "error.txt").write_text(text)
                return
            # The working folder of a trial stays on its node; this is the one that the user looks into.
            storage.storage_filesystem.create_dir(storage.trial_fs_path)
            with storage.storage_filesystem.open_output_stream(f"{storage.trial_fs_path}/error.txt") as file:
                file.write(text.encode())
        except Exception as error:
            logger.warning("error.txt could not be written: %s", one_line(error))


__all__ = [
    "CHECKPOINT_KEY",
    "ArchitectureSettings",
    "ArchitectureTrainable",
    "ArchitectureTrial",
    "Result",
    "TrialSettings",
]
