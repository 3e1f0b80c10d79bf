"""Training: scores an architecture by training it, in full or at a reduced fidelity."""

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch

from raynas.core.architecture import Architecture
from raynas.core.inputs import part_of
from raynas.core.space import SearchSpace
from raynas.data.augment import AUGMENTATIONS
from raynas.data.batches import Batches
from raynas.data.fit_space import check_network, fit_source, fit_space, resized_to, scaled
from raynas.data.sources import Source, load_source
from raynas.errors import UnknownNameError
from raynas.metrics import Metrics
from raynas.nn.morphism.lineage import inherit_between
from raynas.seeds import seed_of
from raynas.trials.cell_training import AuxiliaryHead
from raynas.trials.checkpoint import State
from raynas.trials.data_batch import BATCH_SIZE, batch_for, first_batch
from raynas.trials.data_settings import DataSettings
from raynas.trials.optimizers import OPTIMIZERS, SCHEDULES
from raynas.trials.ranges import check_numbers
from raynas.trials.runner import TrialRunner
from raynas.trials.trainer import Trainer
from raynas.trials.trial import Trial
from raynas.validate import require, require_whole

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Training(DataSettings):
    """Train each architecture from scratch and score it on the validation split.

    Objectives and constraints may also name zero-cost proxies, which are computed on ``BATCH_SIZE`` images before
    training, as ``ZeroCost`` with the same data and seed computes them.

    The config of a trial may set any of ``TUNABLE`` itself, to search hyperparameters jointly. ``data_fraction``,
    ``resolution``, ``scale`` and few ``epochs`` make a trial cheaper (a lower fidelity); params, macs and latency_ms
    are always those of the network as the space builds it, at full size.

    Args:
        data: "digits", "scattered_digits", "mnist", "fashion_mnist", "cifar10", "cifar100", ``npz:PATH``,
            ``folder:PATH``, or ``module:function`` for loaders of your own.
        data_dir: folder of downloads.
        image_size: height and width that the images of ``folder:PATH`` are resized to, in pixels.
        valid_share: share of the training images to hold out for validation if the data has no validation split.
        epochs: number of epochs.
        batch_size: number of images per step.
        lr: the highest learning rate; None for the usual one of the optimizer, 0.1 for SGD and 0.001 for Adam.
        optimizer: "sgd", "adam" or "adamw".
        momentum: momentum of SGD; beta1 of Adam.
        nesterov: True for Nesterov's momentum; only SGD has it.
        weight_decay: weight decay of all parameters.
        schedule: "cosine" or "constant".
        final_lr_share: share of ``lr`` at which the cosine ends, from 0 to 1.
        warmup_epochs: epochs in which the rate rises to ``lr``; may be a fraction.
        label_smoothing: from 0 to below 1.
        clip_norm: largest norm of the gradient of all weights; None for no limit.
        drop_path: probability at the end, rising from 0, that an example skips an edge of a cell; needs cells.
        auxiliary_weight: weight of the loss of a second classifier after two thirds of the cells; 0 for none.
        augment: "auto" (the one that suits the data), "none", "shift", "crop_flip" or "crop_flip_cutout"; loaders of
            your own augment by themselves.
        dtype: "float32", or "bfloat16" for mixed precision.
        data_fraction: share of the training images to use, above 0 and up to 1; share of the batches of each epoch for
            loaders of your own.
        resolution: height and width to resize images to, in pixels; None keeps them.
        scale: fields of the space to replace while training: ``{"channels": 8, "cells": 1}`` for a smaller network.

    Raises:
        ValueError: if a value is out of range.
        UnknownNameError: if an optimizer, a schedule or an augmentation is unknown.
    """

    data: str = "digits"
    data_dir: str = "~/.cache/raynas"
    image_size: int = 64
    valid_share: float = 0.2
    epochs: int = 5
    batch_size: int = 64
    lr: float | None = None
    optimizer: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    final_lr_share: float = 0.0
    warmup_epochs: float = 0.5
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    drop_path: float = 0.0
    auxiliary_weight: float = 0.0
    augment: str = "auto"
    dtype: str = "float32"
    data_fraction: float = 1.0
    resolution: int | None = None
    scale: Mapping[str, int] = field(default_factory=dict, hash=False)

    trains: ClassVar[bool] = True
    TUNABLE: ClassVar[tuple[str, ...]] = (
        "augment",
        "batch_size",
        "clip_norm",
        "final_lr_share",
        "label_smoothing",
        "lr",
        "momentum",
        "nesterov",
        "optimizer",
        "schedule",
        "warmup_epochs",
        "weight_decay",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("epochs", "batch_size", "image_size"):
            require_whole(name, getattr(self, name), 1)
        if self.resolution is not None:
            require_whole("resolution", self.resolution, 1)
        check_numbers(self)
        require(self.dtype in ("bfloat16", "float32"), "dtype must be 'float32' or 'bfloat16'", self.dtype)
        for kind, name, known in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("schedule", self.schedule, SCHEDULES),
            ("augmentation", self.augment, {**AUGMENTATIONS, "auto": None}),
        ):
            if name not in known:
                raise UnknownNameError(kind, str(name), known)

    @property
    def max_fidelity(self) -> int:
        """Number of epochs of a trial."""
        return self.epochs

    @property
    def learning_rate(self) -> float:
        """``lr``, or the usual one of the optimizer."""
        return self.lr if self.lr is not None else {"sgd": 0.1}.get(self.optimizer, 1e-3)

    @property
    def at_full_fidelity(self) -> "Training":
        """These settings with all data at its resolution and the network at its size."""
        return dataclasses.replace(self, data_fraction=1.0, resolution=None, scale={})

    def lr_factor(self, start: float, end: float) -> float:
        """Return the factor on ``lr`` for a step from epoch ``start`` to epoch ``end``, which may be fractions."""
        if start < self.warmup_epochs:
            return min(end / self.warmup_epochs, 1.0)
        left = SCHEDULES[self.schedule]((start - self.warmup_epochs) / (self.epochs - self.warmup_epochs))
        return self.final_lr_share + (1 - self.final_lr_share) * left

    def check_hyperparameters(self, names: Iterable[str]) -> None:
        """Refuse hyperparameters that are not in ``TUNABLE``.

        Raises:
            UnknownNameError: if there is such a name.
        """
        for name in names:
            if name not in self.TUNABLE:
                raise UnknownNameError("hyperparameter", name, self.TUNABLE)

    def with_hyperparameters(self, hyperparameters: Mapping[str, object]) -> "Training":
        """Return these settings with the hyperparameters of a trial's config.

        Raises:
            UnknownNameError: if one is not in ``TUNABLE``.
            ValueError: if a value is out of range.
        """
        self.check_hyperparameters(hyperparameters)
        values: dict[str, Any] = dict(hyperparameters)
        size = values.get("batch_size")
        if isinstance(size, float) and size.is_integer():  # tune.quniform and HyperOpt give floats
            values["batch_size"] = int(size)
        return dataclasses.replace(self, **values)

    def load_source(self) -> Source:
        """Load the data, whole and with its test split.

        Raises:
            RaynasError: if it is missing, empty or malformed.
        """
        return load_source(self.data, data_dir=self.data_dir, image_size=self.image_size, valid_share=self.valid_share)

    def at_fidelity(self, space: SearchSpace) -> tuple[SearchSpace, SearchSpace, Source]:
        """Return spaces and data at the fidelity of the training.

        Returns:
            The space fitted to the data, the space at the size that is trained, and the data without its test split.

        Raises:
            RaynasError: if data, space and settings do not fit together.
        """
        source = self.load_source()
        space = fit_space(space, source)
        source = fit_source(source.without_test().reduced(self.data_fraction, self.resolution), space)
        reduced = scaled(resized_to(space, source.input_shape), self.scale)
        check_network(reduced, source)
        return space, reduced, source

    def runner(self, space: SearchSpace, metrics: Metrics = ("accuracy",)) -> "TrialRunner[TrainingTrial]":
        """Return what trains architectures of ``space`` in this process; the data is loaded once, without its test."""
        space, reduced, source = self.at_fidelity(space.architecture_space)
        whole = partial(fit_source, space=space)
        batch = batch_for(metrics, lambda: first_batch(self, whole(self.load_source()), BATCH_SIZE, self.seed))
        return TrialRunner(space, self, partial(TrainingTrial, reduced=reduced, source=source), metrics, batch=batch)

    def trained_space(self, space: SearchSpace) -> SearchSpace:
        """Return the space at the size that is trained, which follows from the data too."""
        return self.at_fidelity(space.architecture_space)[1]

    def data_settings(self) -> "Training":
        """Return these settings."""
        return self

    def batches(self, source: Source, device: torch.device) -> Batches:
        """Return the batches of a source, which has the fidelity of the training already."""
        return source.batches(batch_size=self.batch_size, augment=self.augment, device=device)


class TrainingTrial(Trial[Training]):
    """Trains one architecture; ``accuracy`` and ``loss`` are those of the validation split.

    Args:
        space: gives the network whose costs are measured.
        settings: settings of the training.
        reduced: gives the network that is trained: the same space at the size of a lower fidelity.
        source: the data, at the fidelity of the training; arrays are shared with other processes and only read.
    """

    def __init__(self, space: SearchSpace, settings: Training, *, reduced: SearchSpace, source: Source) -> None:
        super().__init__(space, settings)
        self.reduced, self.source = reduced, source

    def start(self, arch: Architecture, hyperparameters: Mapping[str, object]) -> None:
        """Build the network and its optimizer."""
        settings = self.settings.with_hyperparameters(hyperparameters)
        self.arch = arch
        model, head = self.reduced.build(arch), None
        if settings.auxiliary_weight:
            head = AuxiliaryHead(model, self.reduced.example(2, "cpu"))
        self.trainer = Trainer(
            model,
            settings.batches(self.source, self.device),
            settings,
            seed=seed_of(settings.seed, arch.key),
            device=self.device,
            n_classes=self.source.n_classes,
            auxiliary=head,
        )

    def advance(self) -> Mapping[str, float]:
        """Train for an epoch, then examine."""
        self.trainer.train_epoch()
        return self.trainer.examine()

    def state(self) -> State:
        """Return weights, optimizer and epoch."""
        return self.trainer.state_dict()

    def load_state(self, state: State) -> None:
        """Restore weights, optimizer and epoch."""
        self.trainer.load_state_dict(state)

    def take_over(self, state: State, arch: Architecture) -> Mapping[str, float]:
        """Inherit the weights that fit and continue at that epoch; the optimizer's averages start from zero."""
        seed = seed_of(self.settings.seed, self.arch.key, "inherit")
        inputs, _ = next(iter(self.trainer.batches.examine("valid")))
        example = part_of(inputs, slice(32))
        report = inherit_between(
            self.reduced, arch, state["model"], self.arch, self.trainer.model, input_example=example, seed=seed
        )
        logger.info("%s inherits from %s: %s", self.arch.key, arch.key, report)
        self.trainer.epoch = int(state["epoch"])
        return self.trainer.examine()
