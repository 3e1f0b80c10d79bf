"""Subnet: scores an architecture with weights inherited from a trained supernet (Guo et al., 2020, section 3.3)."""

import copy
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.inputs import Inputs
from raynas.core.space import SearchSpace
from raynas.data.batches import Batches
from raynas.data.fit_space import fit_source, fit_space
from raynas.data.sources import Source
from raynas.errors import RaynasError
from raynas.metrics import Metrics
from raynas.nn import ModelSpace, Supernet
from raynas.nn.batch_statistics import is_recalibrated, recalibrate
from raynas.trials.checkpoint import State
from raynas.trials.data_batch import BATCH_SIZE, batch_for, first_batch
from raynas.trials.data_settings import DataSettings
from raynas.trials.distillation import Distillation, check_student
from raynas.trials.examples import MAX_KEPT_BYTES, Examples
from raynas.trials.mixed_precision import autocast
from raynas.trials.progress import Result
from raynas.trials.runner import TrialRunner
from raynas.trials.settings import refuse_all
from raynas.trials.supernet.calibration import calibration_inputs
from raynas.trials.supernet.shared_weights import Arrays, supernet_on
from raynas.trials.supernet.trained import ABOUT, TrainedSupernet, read_about
from raynas.trials.task import Classification, Task
from raynas.trials.training import Training
from raynas.trials.trial import Trial
from raynas.validate import require, require_whole

OF_TASK = ("teacher", "outputs", "class_dim", "score")
"""Settings of a distillation that scores depend on, besides the data."""


@dataclass(frozen=True, kw_only=True)
class Subnet(DataSettings):
    """Score each architecture with weights inherited from a trained supernet, without any training.

    Its batch norms, if it has any, are recalibrated on training examples. Scores are those of the validation split that
    the supernet's training left untouched: ``accuracy`` and ``loss``, or what ``Distillation`` reports where the
    supernet was trained to predict what a teacher predicts.

    Args:
        supernet: the folder of ``raynas.train_supernet``, or what it returned.
        data: the supernet's data, if it has moved since the training, or is files or code of yours and ``supernet`` is
            a folder: what a folder says of those is not believed.
        data_dir: folder of downloads, likewise.
        calibration_batches: number of batches of training images that batch norms are recalibrated with.
        batch_size: number of images in each of these.
        distillation: the task of a supernet that was trained by ``SupernetDistillation``, where ``supernet`` is a
            folder: teacher, kind of outputs and score; data and fidelity are those of the training. By default the
            teacher is the given model of a converted space.
        bulk: number of architectures proposed at a time, for a few long-lived actors; 0 for a Tune trial each.

    Raises:
        ValueError: if a value is out of range.
    """

    supernet: str | TrainedSupernet
    data: str | None = None
    data_dir: str | None = None
    calibration_batches: int = 8
    batch_size: int = 64
    distillation: Distillation | None = None
    bulk: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        require(isinstance(self.supernet, str | os.PathLike), "supernet must be a folder", self.supernet)
        for name, value in getattr(self.supernet, "named", {}).items():
            if getattr(self, name) is None and _is_own(name, value):
                object.__setattr__(self, name, value)
        if self.distillation is None:
            object.__setattr__(self, "distillation", getattr(self.supernet, "distillation", None))
        # Only the path travels: the weights are in the object store, once per node.
        object.__setattr__(self, "supernet", str(Path(os.fspath(self.supernet)).expanduser().resolve()))
        for name in ("calibration_batches", "batch_size"):
            require_whole(name, getattr(self, name), 1)
        require_whole("bulk", self.bulk, 0)
        if self.distillation is not None:
            rule = "distillation must be a Distillation"
            require(isinstance(self.distillation, Distillation), rule, self.distillation)
            task = {name: getattr(self.distillation, name) for name in OF_TASK}
            object.__setattr__(self, "distillation", Distillation(**task))

    @property
    def bulk_size(self) -> int:
        return self.bulk

    @property
    def description(self) -> str:
        """These settings in one line; the weights are named by their digest, not by their folder."""
        where = f"supernet={self.supernet!r}"
        weights = f"supernet={read_about(Path(str(self.supernet)))['digest']!r}"
        given = self.distillation
        described = super().description.replace(where, weights)
        return described if given is None else described.replace(repr(given), given.description)

    @property
    def reports(self) -> frozenset[str] | None:
        """The scores, time and memory; None where a function of the user's gives more."""
        return super().reports if self.task is None else self.task.reports

    @property
    def task(self) -> Distillation | None:
        """The task of the supernet's training; None if it is to tell the classes of the data apart.

        Raises:
            RaynasError: if the teacher is one that has to be named, or the supernet has another task.
        """
        path = Path(str(self.supernet))
        held, given = read_about(path)["training"].get("task"), self.distillation
        if held is None:
            if given is not None:
                raise RaynasError(f"{path} was not trained by SupernetDistillation: leave out distillation")
            return None
        if given is not None:
            return given
        if held["teacher"] != "given":
            raise RaynasError(
                f"{path} learned from a teacher that has to be named: Subnet(supernet=..., "
                f"distillation=Distillation(teacher=..., outputs={held['outputs']!r}))"
            )
        return Distillation(outputs=held["outputs"], class_dim=held["class_dim"])

    def check_hyperparameters(self, names: Iterable[str]) -> None:
        """Refuse all: nothing is trained.

        Raises:
            UnknownNameError: if there is any.
        """
        refuse_all("hyperparameter of subnets, which are not trained:", names)

    def runner(self, space: SearchSpace, metrics: Metrics = ()) -> "TrialRunner[SubnetTrial]":
        """Return what scores architectures of ``space`` in this process; weights and data are read once."""
        space = space.architecture_space
        trained = TrainedSupernet.load(str(self.supernet), space)
        if trained.about["partial_channels"] > 1:
            raise RaynasError(f"{trained.path} was trained with partial channels, which only derives an architecture")
        training = self.data_settings()
        source = training.load_source()
        space = fit_space(space, source)
        source = fit_source(source, space)
        teacher = None
        if isinstance(training, Distillation):
            teacher = training.teacher_of(space).eval()
            check_student(space, teacher, source, training.kind)
        batch = batch_for(metrics, partial(first_batch, training, source, BATCH_SIZE, self.seed))
        source = source.without_test().reduced(training.data_fraction, training.resolution)
        shared = SharedSupernet(self, trained, training, source, teacher)
        return TrialRunner(space, self, partial(SubnetTrial, shared=shared), metrics, batch=batch)

    def trained_model(self, space: SearchSpace, arch: Architecture, state: State | None) -> nn.Module:
        """Return the subnet with inherited weights and its recalibrated batch norms, as it was scored.

        Raises:
            RaynasError: if it cannot be scored again.
        """
        return self.scored(space, arch)[0]

    def scored(self, space: SearchSpace, arch: Architecture) -> tuple[nn.Module, Result]:
        """Score a subnet; return it with its recalibrated batch norms, in eval mode, and the result.

        Raises:
            RaynasError: if it cannot be scored.
        """
        runner = self.runner(space)
        runner.begin({"arch": arch.to_config()})
        result = runner.step()
        if result["failed"]:
            raise RaynasError(f"subnet {arch.key} cannot be scored: {result['error']}")
        return copy.deepcopy(runner.trial.model).requires_grad_().eval(), result

    def trained_space(self, space: SearchSpace) -> SearchSpace:
        """Return the space of the supernet, at the size that was trained."""
        return TrainedSupernet.load(str(self.supernet), space.architecture_space).space

    def data_settings(self) -> Training | Distillation:
        """Return the settings of a training on the supernet's data, at its present path, for its task."""
        path = Path(str(self.supernet))
        held, task = read_about(path)["training"], self.task
        given = {name: value for name in ("data", "data_dir") if (value := getattr(self, name)) is not None}
        for name, value in (("data", held["data"]), ("data_dir", held["data_dir"])):
            if _is_own(name, value) and name not in given:
                raise RaynasError(
                    f"{path / ABOUT} names code or files, {name} {value!r}, which no file may choose; if they are "
                    f"yours, say so: Subnet(supernet=..., {name}={value!r})"
                )
        try:
            data = {name: value for name, value in held.items() if name not in ("scale", "task")} | given
            values: dict[str, Any] = {**data, "batch_size": self.batch_size, "epochs": 1, "warmup_epochs": 0}
            return Training(scale=held["scale"], **values) if task is None else replace(task, **values)
        except (TypeError, ValueError) as error:
            raise RaynasError(f"{path / ABOUT} holds impossible settings: {error}; train the supernet again") from None


def _is_own(name: str, value: str) -> bool:
    """Return whether ``data`` or ``data_dir`` names code or files of the user's."""
    return ":" in value if name == "data" else value != Training.data_dir


class SharedSupernet:
    """Supernet and data for all trials of a process; other processes receive only the arrays.

    Args:
        settings: settings of the trials.
        trained: the supernet.
        training: makes the batches.
        source: the data; only read.
        teacher: of the task; only read. None if the task is to tell classes apart.
    """

    def __init__(
        self,
        settings: Subnet,
        trained: TrainedSupernet,
        training: Training | Distillation,
        source: Source,
        teacher: nn.Module | None,
    ) -> None:
        self.settings, self.training, self.source, self.teacher = settings, training, source, teacher
        self.space: ModelSpace = trained.space
        # Arrays, because these travel through Ray's object store without a copy.
        self.weights: Arrays = trained.weights

    @cached_property
    def supernet(self) -> Supernet:
        """The supernet on the shared weights; on a GPU this is the only copy there."""
        return supernet_on(self.space, self.weights).to(self.settings.torch_device)

    @cached_property
    def batches(self) -> Batches:
        """The batches to examine subnets on."""
        return self.training.batches(self.source, self.settings.torch_device)

    @cached_property
    def task(self) -> Task:
        """The task of the subnets."""
        if self.teacher is None or not isinstance(self.training, Distillation):
            return Classification(self.source.n_classes)
        return self.training.task(copy.deepcopy(self.teacher), None, self.space, self.settings.torch_device)

    def precision(self) -> torch.autocast:
        """Return the context of forward passes."""
        return autocast(self.settings.torch_device, self.training.dtype)

    @cached_property
    def examples(self) -> Examples:
        """The examples that every subnet is scored on; a teacher is asked once about them."""
        return Examples(self.task, self.batches, "valid", self.precision, MAX_KEPT_BYTES)

    @cached_property
    def calibration(self) -> Callable[[], Iterable[Inputs]]:
        """Gives the inputs that batch norms are recalibrated with."""
        n_batches = self.settings.calibration_batches
        return calibration_inputs(self.source, self.training, n_batches, self.settings.torch_device)

    def __getstate__(self) -> dict[str, object]:
        made_here = ("supernet", "batches", "task", "examples", "calibration")
        return {name: value for name, value in vars(self).items() if name not in made_here}


class SubnetTrial(Trial[Subnet]):
    """Scores one subnet with inherited weights.

    Args:
        space: gives the network whose costs are measured.
        settings: settings of the trials.
        shared: the weights and data of all trials.
    """

    def __init__(self, space: SearchSpace, settings: Subnet, *, shared: SharedSupernet) -> None:
        super().__init__(space, settings)
        self.shared = shared

    def start(self, arch: Architecture, hyperparameters: Mapping[str, object]) -> None:
        """Extract the subnet; it copies only batch statistics."""
        self.settings.check_hyperparameters(hyperparameters)
        self.model = self.shared.supernet.extract(arch, copy_weights=False)

    def advance(self) -> Mapping[str, float]:
        """Recalibrate, then examine."""
        shared = self.shared
        if is_recalibrated(self.model):
            recalibrate(self.model, shared.calibration())
        return shared.task.scores(self.model, shared.examples, shared.precision)
