"""SupernetTraining and SupernetDistillation: train the weights that all networks of a space share, as one trial."""

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch

from raynas.core.architecture import Architecture
from raynas.core.feasible_sampler import MemberLimits
from raynas.core.goal import Goal
from raynas.core.relaxed_weights import RelaxedWeights
from raynas.core.space import SearchSpace
from raynas.data.sources import Source
from raynas.errors import SpaceError, UnknownNameError
from raynas.metrics import METRICS, Measurer, Metrics
from raynas.nn import ModelSpace, Supernet
from raynas.nodes import in_ray_names
from raynas.oneshot import ONESHOT, OneShot, Sandwich, SinglePath
from raynas.seeds import seed_of
from raynas.trials.checkpoint import State
from raynas.trials.distillation import Distillation
from raynas.trials.gradient_training import GradientTraining
from raynas.trials.runner import TrialRunner
from raynas.trials.scores import checked_scores
from raynas.trials.settings import TrialSettings
from raynas.trials.supernet.parallel import ParallelTraining
from raynas.trials.supernet.recipes import RECIPES
from raynas.trials.supernet.space import SupernetSpace
from raynas.trials.supernet.trainer import MethodReport, SupernetTrainer
from raynas.trials.task import Classification, Task
from raynas.trials.training import Training
from raynas.trials.trial import Trial
from raynas.trials.workers import Workers, check_workers
from raynas.validate import require, require_whole


@dataclass(frozen=True, kw_only=True)
class WeightSharing(GradientTraining):
    """Settings of trainings of the weights that all networks of a space share.

    Args:
        method: one of ``raynas.oneshot``.
        workers: number of processes that share each batch, for data-parallel training with Ray Train.
        calibration_batches: number of training batches that batch norms are recalibrated with.

    Raises:
        ValueError: if a value is out of range.
    """

    resumes_after_errors = True  # hours of one training are lost otherwise, not one of many trials
    irrelevant = TrialSettings.irrelevant  # batch norms see the share of a worker
    # Not "float16": methods compute several gradients in a step, which would all have to be scaled alike.
    DTYPES: ClassVar[tuple[str, ...]] = ("float32", "bfloat16")
    objective: ClassVar[str] = "accuracy"
    """The metric of the candidates that the progress of the training is shown by."""

    method: OneShot = field(default_factory=SinglePath)
    workers: int = 1
    calibration_batches: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require(isinstance(self.method, OneShot), "method must be one of raynas.oneshot", self.method)
        require_whole("calibration_batches", self.calibration_batches, 1)
        check_workers(self.workers, self.batch_size)

    @abstractmethod
    def fitted(self, space: SearchSpace) -> tuple[ModelSpace, Source]:
        """Return the space at the size that is trained, and the data at the fidelity of the training, without its test.

        Raises:
            RaynasError: if data, space and settings do not fit together, or the space has no supernet.
        """

    @abstractmethod
    def shared_task(self, space: ModelSpace, source: Source, device: torch.device) -> Task:
        """Return the task of the networks."""

    @property
    def resources(self) -> dict[str, float]:
        """Resources of one trainer; several workers ask for their own, and the trial only waits for them."""
        return {"memory": 2**20} if self.workers > 1 else super().resources  # Tune takes no trial that needs nothing

    @property
    def bundles(self) -> list[dict[str, float]]:
        """Resources of the trial alone: Ray Train has a placement group for the workers."""
        return [self.resources]

    @property
    def torch_device(self) -> torch.device:
        """Device of a training in one process; a trial that only waits for workers needs no GPU."""
        return super().torch_device if self.workers == 1 else torch.device("cpu")

    @property
    def worker_resources(self) -> dict[str, float]:
        """Resources of each worker, as Ray Train names them."""
        return in_ray_names(super().resources)

    def runner(self, space: SearchSpace, metrics: Metrics = ()) -> TrialRunner[Any]:
        """Return what trains the supernet of ``space`` in this process, by a ``SupernetTrial``."""
        inner = space.space if isinstance(space, SupernetSpace) else space
        fitted, source = self.fitted(inner)
        with torch.device("meta"), torch.random.fork_rng(devices=[]):  # better refused here than in the trial
            Supernet(fitted, partial_channels=self.method.partial_channels)
        supernets = SupernetSpace(fitted, self.method)
        limits = limits_of(fitted, space.goal) if isinstance(space, SupernetSpace) and space.goal else None
        make = partial(SupernetTrial, networks=fitted, source=source, limits=limits)
        params = dataclasses.replace(METRICS["params"], measure=lambda candidate: supernets.params(candidate.arch))
        return TrialRunner(supernets, self, make, [*(metrics or [self.objective]), params], counted=())

    def trainer(
        self,
        space: ModelSpace,
        source: Source,
        device: torch.device,
        workers: Workers | None = None,
        limits: MemberLimits | None = None,
    ) -> SupernetTrainer:
        """Return a trainer of a fresh supernet; every worker makes the same one.

        It begins with the weights of the given model where the space was made of one.
        """
        torch.manual_seed(seed_of(self.seed, "supernet weights"))
        supernet = Supernet(space, partial_channels=self.method.partial_channels)
        task = self.shared_task(space, source, device)
        return SupernetTrainer(supernet, source, self, device=device, task=task, workers=workers, limits=limits)


def _with_supernet(space: SearchSpace) -> ModelSpace:
    """Return a space if its networks can share weights.

    Raises:
        SpaceError: if they cannot.
    """
    if not isinstance(space, ModelSpace):
        raise SpaceError(f"{space.name} is not read off a model with choices, so its networks cannot share weights")
    return space


@dataclass(frozen=True, kw_only=True)
class SupernetTraining(WeightSharing, Training):
    """Train the weights that all networks of a space share to classify.

    ``accuracy`` and ``loss`` are those of the method's candidates with inherited weights, batch norms recalibrated, on
    the validation split. Methods that learn the architecture on held-out images get half of the training images for
    that; the validation split stays untouched.

    Args:
        method: one of ``raynas.oneshot``.
        workers: number of processes that share each batch, for data-parallel training with Ray Train.
        calibration_batches: number of training batches that batch norms are recalibrated with.

    Raises:
        ValueError: if a value is out of range.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.parallel == "ddp", "shared weights are trained with parallel='ddp'", self.parallel)

    @classmethod
    def paper(cls, name: str, **changes: object) -> "SupernetTraining":
        """Return a method with the training settings of its authors, for CIFAR-10 and the space of DARTS.

        The authors' space is ``DARTS(channels=16, cells=8, affine=False)``; DrNAS has 36 and 20.

        Args:
            name: one of ``RECIPES``, such as "darts".
            changes: settings that differ from the authors'.

        Raises:
            UnknownNameError: if there is no recipe of this name.
        """
        if name not in RECIPES:
            raise UnknownNameError("recipe", name, RECIPES)
        return cls(**dict[str, Any]({"method": ONESHOT[name](), **RECIPES[name], **changes}))

    def fitted(self, space: SearchSpace) -> tuple[ModelSpace, Source]:
        """Return the space at the size that is trained, and the data at the fidelity of the training, without its test.

        Raises:
            RaynasError: if data, space and settings do not fit together, or the space has no supernet.
        """
        _, reduced, source = self.at_fidelity(space)
        return _with_supernet(reduced), source

    def shared_task(self, space: ModelSpace, source: Source, device: torch.device) -> Task:
        """Return the task of telling the classes of the data apart."""
        return Classification(source.n_classes, label_smoothing=self.label_smoothing)


@dataclass(frozen=True, kw_only=True)
class SupernetDistillation(WeightSharing, Distillation):
    """Train the weights that all networks of a space share to predict what a given model predicts.

    Made for ``raynas.convert``: the shared weights begin as those of the given model, which is the teacher too. Each
    subnet learns from the teacher, and from labels by ``label_weight``; where the method distils in place, the largest
    subnet does, and the others learn from the largest. Scores are those of the method's candidates, batch norms
    recalibrated, on the validation split.

    Args:
        method: one of ``raynas.oneshot`` that trains weights alone.
        workers: number of processes that share each batch, for data-parallel training with Ray Train.
        calibration_batches: number of training batches that batch norms are recalibrated with.

    Raises:
        ValueError: if a value is out of range.
    """

    optimizer: str = "adam"
    weight_decay: float = 0.0
    method: OneShot = field(default_factory=Sandwich)

    objective: ClassVar[str] = "divergence"

    def __post_init__(self) -> None:
        super().__post_init__()
        rule = "method must train weights alone, by any targets: sandwich, progressive_shrinking, single_path or fair"
        require(not self.method.needs_classes, rule, type(self.method).__name__)
        require(not self.features, "features cannot be matched while weights are shared", self.features)

    def fitted(self, space: SearchSpace) -> tuple[ModelSpace, Source]:
        """Return the space, and the data at the fidelity of the training, without its test.

        Raises:
            RaynasError: if data, space, teacher and settings do not fit together, or the space has no supernet.
        """
        fitted, source = self.fitted_data(space.architecture_space)
        return _with_supernet(fitted), source

    def shared_task(self, space: ModelSpace, source: Source, device: torch.device) -> Task:
        """Return the task of predicting what the teacher predicts."""
        return self.task(self.teacher_of(space), None, space, device)


def limits_of(space: ModelSpace, goal: Goal) -> MemberLimits:
    """Return the hard limits of a goal on costs of networks, counted at the size that is trained.

    Raises:
        InfeasibleError: if no network that meets them was found.
    """
    costs = Measurer(space).costs(goal.metrics[constraint.metric] for constraint in goal.hard)
    limits = MemberLimits(space=space, goal=goal, costs=costs)
    limits.draw(1, np.random.default_rng(0))
    return limits


class SupernetTrial(Trial[WeightSharing]):
    """Trains shared weights, one epoch a step.

    Args:
        space: the supernet.
        settings: settings of the training.
        networks: the space whose networks share the weights.
        source: the data, at the fidelity of the training; only read.
        limits: hard limits on costs of the networks.
    """

    def __init__(
        self,
        space: SearchSpace,
        settings: WeightSharing,
        *,
        networks: ModelSpace,
        source: Source,
        limits: MemberLimits | None = None,
    ) -> None:
        super().__init__(space, settings)
        self.networks, self.source, self.limits = networks, source, limits
        self.history: list[dict[str, Any]] = []
        self.report = MethodReport(derived=None, ended_because="", sizes={}, partial_channels=1, weights={})

    def start(self, arch: Architecture, hyperparameters: Mapping[str, object]) -> None:
        """Make the supernet and its trainer."""
        settings = dataclasses.replace(self.settings, **dict[str, Any](hyperparameters))
        self.trainer: LocalTraining | ParallelTraining
        if settings.workers > 1:
            self.trainer = ParallelTraining(settings, self.networks, self.source, self.directory, self.limits)
        else:
            trainer = settings.trainer(self.networks, self.source, self.device, limits=self.limits)
            self.trainer = LocalTraining(trainer)

    def advance(self) -> Mapping[str, float]:
        """Train for an epoch, then score the candidates."""
        scores, self.report = self.trainer.run_epoch()
        self.history.append({"epoch": self.epoch + 1, **checked_scores(scores), "derived": self.report["derived"]})
        return scores

    @property
    def finished(self) -> bool:
        """True if the last epoch is done, or the method stops early."""
        return super().finished or bool(self.report["ended_because"])

    def state(self) -> State:
        """Return weights, optimizers, what the method has learned, and the history."""
        return {"learner": self.trainer.state, "history": self.history, "told": self.report}

    def load_state(self, state: State) -> None:
        """Restore all of it."""
        self.trainer.load_state(state["learner"])
        self.history, self.report = list(state["history"]), state["told"]

    @property
    def notes(self) -> Mapping[str, str]:
        """The architecture that the method has derived, as JSON under "derived"; empty if there is none."""
        derived, weights = self.report["derived"], self.report.get("weights", {})  # none in checkpoints of old
        relaxed = RelaxedWeights(epoch=self.epoch, weights=weights, derived=dict[str, Any](derived or {}))
        return {
            "derived": Architecture(derived).to_json() if derived else "",
            **(relaxed.as_entry() if weights else {}),
        }

    def close(self) -> None:
        """End the workers."""
        if isinstance(trainer := getattr(self, "trainer", None), ParallelTraining):
            trainer.close()


class LocalTraining:
    """Trains in this process."""

    def __init__(self, trainer: SupernetTrainer) -> None:
        self.trainer = trainer

    def run_epoch(self) -> tuple[dict[str, float], MethodReport]:
        """Train and score; return the scores and the report of the method."""
        return self.trainer.run_epoch(), self.trainer.report

    @property
    def state(self) -> State:
        """State after the last epoch."""
        return self.trainer.state_dict()

    def load_state(self, state: State) -> None:
        """Continue from ``state``."""
        self.trainer.load_state_dict(state)
