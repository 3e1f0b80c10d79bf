"""Distillation: trains an architecture to predict what a given model predicts, from the weights that it inherits."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from raynas.converting import ConvertedSpace
from raynas.converting.fingerprint import weights_fingerprint_of
from raynas.core.architecture import Architecture
from raynas.core.extended_space import network_space
from raynas.core.inputs import Arguments
from raynas.core.space import SearchSpace
from raynas.data.fit_space import fit_source, fit_space, takes
from raynas.data.loaders import Targets
from raynas.data.sources import Source
from raynas.errors import RaynasError, SettingError, SpaceError, UnknownNameError, one_line
from raynas.low_rank import RankSpace
from raynas.metrics import METRICS, Batch, Metrics
from raynas.nn.batch_statistics import is_recalibrated, recalibrate
from raynas.seeds import seed_of
from raynas.trials.checkpoint import State
from raynas.trials.data_batch import BATCH_SIZE, HeldBatch, batch_for, first_batch
from raynas.trials.distilled import Distilled, LabelLoss, Score, Teacher, output_of
from raynas.trials.features import FeatureMatching
from raynas.trials.gradient_training import GradientTraining
from raynas.trials.output_kinds import OUTPUT_KINDS, Classes, OutputKind, are_probabilities
from raynas.trials.runner import REPORTED, TrialRunner
from raynas.trials.supernet.calibration import calibration_inputs
from raynas.trials.trainer import Trainer
from raynas.trials.trial import Trial
from raynas.user_code import load_function, load_instance, split_call, split_reference
from raynas.validate import is_number, require, require_whole


@dataclass(frozen=True, kw_only=True)
class Distillation(GradientTraining):
    """Train each architecture to predict what a teacher predicts, from the weights that the space builds it with.

    Made for the members of ``raynas.convert``, which inherit weights of the given model and recover by this what they
    have lost; any space will do whose networks take the teacher's inputs and give outputs of its shape. Of the data
    only inputs are needed: a batch of loaders of your own is inputs alone (a tensor, a mapping, a list of one), or a
    pair of inputs and targets of any kind.

    A trial reports "divergence" from the teacher on the validation split (less is better), "agreement" with it where
    predictions are classes, "accuracy" and "loss" where the data has labels for them, and what ``score`` returns.

    Args:
        teacher: the trained model, or the name ``module:function`` of what makes it; None for the given model of a
            converted space, or of one of ranks.
        outputs: kind of predictions: "classes" (logits; also one row for each token or pixel), "binary" (logits of
            events that do not exclude each other), "probabilities" (of such events), or "values".
        class_dim: dimension of the classes in outputs; None for the last, or the second where there are more than 3.
        temperature: temperature of the soft targets, at least 1.
        label_weight: share of the loss against the data's targets, from 0 to 1.
        label_loss: function of outputs and targets, or its name ``module:function``; None for the usual one.
        features: layers whose hidden states are matched too, by name; "student=teacher" where names differ.
        feature_weight: weight of their relative squared error.
        calibration_batches: number of training batches that statistics of batch norms are taken on after each epoch:
            short trainings leave much of those that members inherit, which are of another network, and with a momentum
            of 0 all. 0 keeps what the training leaves.
        score: function of a network and batches of inputs and targets that returns metrics, or its name
            ``module:function``; objectives may name these metrics.

    Raises:
        ValueError: if a value is out of range.
        UnknownNameError: if there is no such kind of outputs.
    """

    optimizer: str = "adam"
    weight_decay: float = 0.0

    teacher: str | nn.Module | None = None
    outputs: str = "classes"
    class_dim: int | None = None
    temperature: float = 2.0
    label_weight: float = 0.0
    label_loss: str | LabelLoss | None = None
    features: Sequence[str] = ()
    feature_weight: float = 1.0
    calibration_batches: int = 4
    score: str | Score | None = None

    targets: ClassVar[Targets] = "any"
    TUNABLE: ClassVar[tuple[str, ...]] = (*GradientTraining.TUNABLE, "feature_weight", "label_weight", "temperature")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.outputs not in OUTPUT_KINDS:
            raise UnknownNameError("kind of outputs", str(self.outputs), OUTPUT_KINDS)
        if isinstance(self.teacher, str):
            split_call(self.teacher)
        elif self.teacher is not None and not isinstance(self.teacher, nn.Module):
            raise SettingError(f"teacher must be a model or package.module:name of what makes it, got {self.teacher!r}")
        for name in ("label_loss", "score"):
            value = getattr(self, name)
            if isinstance(value, str):
                split_reference(value)
            elif value is not None and not callable(value):
                raise SettingError(f"{name} must be a function or package.module:function, got {value!r}")
        require(not isinstance(self.features, str), "features must be a sequence of names", self.features)
        object.__setattr__(self, "features", tuple(self.features))
        for name, low, high in (("temperature", 1, 1000), ("label_weight", 0, 1), ("feature_weight", 0, 1e6)):
            value = getattr(self, name)
            require(is_number(value) and low <= value <= high, f"{name} must be a number from {low} to {high}", value)
        require_whole("calibration_batches", self.calibration_batches, 0)
        if self.class_dim is not None:
            require(self.outputs == "classes", "class_dim needs outputs='classes'", self.class_dim)

    @property
    def kind(self) -> OutputKind:
        """The kind of outputs."""
        return OUTPUT_KINDS[self.outputs] if self.class_dim is None else Classes(self.class_dim)

    @property
    def reports(self) -> frozenset[str] | None:
        """Divergence, agreement, accuracy and loss; None where a function of the user's gives more."""
        if self.score is not None:
            return None
        return frozenset(("accuracy", "agreement", "divergence", "loss")) | REPORTED

    @property
    def description(self) -> str:
        """These settings in one line; a teacher that is given as it is is named by its weights."""
        if not isinstance(self.teacher, nn.Module):
            return super().description
        shown = f"{type(self.teacher).__name__} {weights_fingerprint_of(self.teacher)}"
        return super().description.replace(repr(self.teacher), shown)

    def teacher_of(self, space: SearchSpace) -> nn.Module:
        """Return a copy of the teacher of the networks of a space.

        Raises:
            RaynasError: if it cannot be made, or none is known.
        """
        if isinstance(self.teacher, str):
            return load_instance(self.teacher, nn.Module, "model")
        model, networks = self.teacher, network_space(space)
        if model is None and isinstance(networks, ConvertedSpace | RankSpace):
            model = networks.given
        if model is None:
            raise RaynasError(f"{space.name} is made of no trained model: name the teacher, Distillation(teacher=...)")
        return copy.deepcopy(model)

    def runner(self, space: SearchSpace, metrics: Metrics = ("divergence",)) -> "TrialRunner[DistillationTrial]":
        """Return what trains architectures of ``space`` in this process; data and teacher are loaded once."""
        space, source, teacher, batch = self.prepared(space, metrics)
        make = partial(self.trial_type, source=source, teacher=teacher)
        return TrialRunner(space, self, make, metrics, batch=batch)

    @property
    def trial_type(self) -> "type[DistillationTrial]":
        """The class of the trials."""
        return DistillationTrial

    def prepared(self, space: SearchSpace, metrics: Metrics) -> tuple[SearchSpace, Source, nn.Module, HeldBatch | None]:
        """Return the space fitted to the data, the data, the teacher, and the batch that metrics are measured with.

        Raises:
            RaynasError: if they do not fit together.
        """
        space = space.architecture_space
        space, source = self.fitted_data(space)
        teacher = self.teacher_of(space).eval()
        asked = (METRICS.get(metric) if isinstance(metric, str) else metric for metric in metrics)
        labelled = any(metric.needs == "data" for metric in asked if metric and metric.measure)

        def draw() -> Batch:
            whole = fit_source(self.load_source(), space)
            return first_batch(self, whole, BATCH_SIZE, self.seed, labelled=labelled)

        batch = batch_for(metrics, draw)
        return space, source, teacher, batch

    def tested(self, space: SearchSpace, network: nn.Module) -> dict[str, float]:
        """Return the scores of a network on the test split, or on the validation split of loaders that have no other.

        Args:
            space: the network's.
            network: it is only read.

        Raises:
            DataError: if there is nothing to examine.
        """
        device = self.torch_device
        source = fit_source(self.load_source(), space.architecture_space)
        teacher = self.teacher_of(space).eval()
        student = copy.deepcopy(network).eval()
        task = replace(self, features=()).task(teacher, student, space, device)
        return task.examine(student.to(device), self.batches(source, device), "test")

    def fitted_data(self, space: SearchSpace) -> tuple[SearchSpace, Source]:
        """Return the space fitted to the data, and the data at the fidelity of the training, without its test split.

        Raises:
            RaynasError: if data, space, teacher and settings do not fit together.
        """
        source = self.load_source().without_test().reduced(self.data_fraction, self.resolution)
        space = fit_space(space, source)
        source = fit_source(source, space)
        check_student(space, self.teacher_of(space).eval(), source, self.kind)
        return space, source

    def task(
        self, teacher: nn.Module, student: nn.Module | None, space: SearchSpace, device: torch.device
    ) -> Distilled:
        """Return the task of a student.

        Args:
            teacher: the trained model; only read.
            student: the network, on the CPU; None where no hidden states are matched.
            space: gives an example of their inputs.
            device: device of the training.

        Raises:
            RaynasError: if a layer is unknown, or hidden states cannot be matched.
        """
        matching = None
        if self.features and student is not None:
            layers = {own: given or own for own, _, given in (each.partition("=") for each in self.features)}
            matching = FeatureMatching(student, teacher.cpu(), layers, space.example(2, "cpu"))
        return Distilled(
            Teacher(teacher, device),
            self.kind,
            temperature=self.temperature,
            label_weight=self.label_weight,
            label_loss=_loaded(self.label_loss),
            features=matching,
            feature_weight=self.feature_weight,
            score=_loaded(self.score),
        )


def _loaded(function: str | Callable[..., Any] | None) -> Callable[..., Any] | None:
    return load_function(function) if isinstance(function, str) else function


def check_student(space: SearchSpace, teacher: nn.Module, source: Source, kind: OutputKind) -> None:
    """Run the teacher and a member, and look at the data, before any trial does.

    Raises:
        DataError: if the data holds inputs of other shapes.
        RaynasError: if the teacher does not run, or outputs are of another kind.
        SpaceError: if a member does not run, or gives outputs of another shape than the teacher.
    """
    example = space.example(2, "cpu")
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            given = output_of(teacher.cpu(), example)
        except RaynasError:
            raise
        except Exception as error:
            raise RaynasError(f"the teacher does not run on an example of the data: {one_line(error)}") from error
        student = space.build(space.canonical(space.sample(np.random.default_rng(0)))).eval()
        own = output_of(student, Arguments.of(example))
    if own.shape != given.shape:
        raise SpaceError(
            f"networks of {space.name} give outputs of shape {tuple(own.shape)}, their teacher {tuple(given.shape)}"
        )
    if kind.takes_logits and are_probabilities(given):
        raise SettingError(
            "outputs of the teacher are from 0 to 1: set outputs='probabilities', or name a teacher that gives logits"
        )
    source.check(partial(takes, space), None)


class DistillationTrial(Trial[Distillation]):
    """Trains one architecture to predict what the teacher predicts.

    Args:
        space: gives the network.
        settings: settings of the training.
        source: the data, at the fidelity of the training; only read.
        teacher: the trained model; only read.
    """

    def __init__(self, space: SearchSpace, settings: Distillation, *, source: Source, teacher: nn.Module) -> None:
        super().__init__(space, settings)
        self.source, self.teacher = source, teacher

    def start(self, arch: Architecture, hyperparameters: Mapping[str, object]) -> None:
        """Build the network and its optimizer."""
        settings = self.settings.with_hyperparameters(hyperparameters)
        model = self.space.build(arch)
        self._calibration = None
        if settings.calibration_batches and is_recalibrated(model):
            n = settings.calibration_batches
            self._calibration = calibration_inputs(self.source, settings, n, self.device)
        self.trainer = Trainer(
            model,
            settings.batches(self.source, self.device),
            settings,
            seed=seed_of(settings.seed, arch.key),
            device=self.device,
            task=settings.task(self.teacher, model, self.space, self.device),
        )

    def advance(self) -> Mapping[str, float]:
        """Train for an epoch, then examine."""
        self.trainer.train_epoch()
        if self._calibration is not None:
            recalibrate(self.trainer.model, self._calibration())
        return self.trainer.examine()

    @property
    def notes(self) -> Mapping[str, str]:
        """Those of the training, such as that memory ran out."""
        return self.trainer.notes

    def state(self) -> State:
        """Return weights, optimizer and epoch."""
        return self.trainer.state_dict()

    def load_state(self, state: State) -> None:
        """Restore weights, optimizer and epoch."""
        self.trainer.load_state_dict(state)
