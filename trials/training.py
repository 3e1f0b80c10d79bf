"""Training: scores an architecture by training it, in full or at a reduced fidelity."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

from typing_extensions import Self

from raynas.core.architecture import Architecture
from raynas.core.inputs import part_of
from raynas.core.space import SearchSpace
from raynas.data.fit_space import check_network, fit_source, fit_space, resized_to, scaled
from raynas.data.sources import Source
from raynas.errors import RaynasError, UnknownNameError
from raynas.metrics import Metrics
from raynas.nn.morphism.lineage import inherit_between
from raynas.seeds import seed_of
from raynas.trials.cell_training import AuxiliaryHead
from raynas.trials.checkpoint import State
from raynas.trials.data_batch import BATCH_SIZE, batch_for, first_batch
from raynas.trials.gradient_training import GradientTraining
from raynas.trials.runner import TrialRunner
from raynas.trials.sharded import Sharded
from raynas.trials.task import Classification
from raynas.trials.team import RayTeam, Team
from raynas.trials.trainer import Trainer
from raynas.trials.trial import Trial
from raynas.trials.workers import Distributed, Workers, check_workers
from raynas.validate import require

logger = logging.getLogger(__name__)

PARALLEL: Mapping[str, type[Workers]] = {"ddp": Distributed, "fsdp": Sharded}
"""Kinds of workers that share each batch, by name."""


@dataclass(frozen=True, kw_only=True)
class Training(GradientTraining):
    """Train each architecture from scratch to classify, and score it on the validation split.

    Objectives and constraints may also name zero-cost proxies, which are computed on ``BATCH_SIZE`` images before
    training, as ``ZeroCost`` with the same data and seed computes them. ``scale`` makes a trial cheaper too:
    ``{"channels": 8, "cells": 1}`` for a smaller network.

    Args:
        label_smoothing: from 0 to below 1.
        drop_path: probability at the end, rising from 0, that an example skips an edge of a cell; needs cells.
        auxiliary_weight: weight of the loss of a second classifier after two thirds of the cells; 0 for none.
        scale: fields of the space to replace while training.
        workers: number of processes that train a network together, each on its share of every batch and with the
            threads and the share of a GPU that a trial would have alone. Batch norms see the whole batch, so losses are
            those of one process but for rounding, and for what augmentation and dropout draw.
        parallel: "ddp" for a copy of the network in each process; "fsdp" for a part of its weights, gradients and
            optimizer, for networks that one GPU has no room to train.

    Raises:
        ValueError: if a value is out of range.
    """

    label_smoothing: float = 0.0
    drop_path: float = 0.0
    auxiliary_weight: float = 0.0
    scale: Mapping[str, int] = field(default_factory=dict, hash=False)
    workers: int = 1
    parallel: str = "ddp"

    TUNABLE: ClassVar[tuple[str, ...]] = (*GradientTraining.TUNABLE, "label_smoothing")

    irrelevant = GradientTraining.irrelevant | {"parallel", "workers"}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_workers(self.workers, self.batch_size)
        if str(self.parallel) not in PARALLEL:
            raise UnknownNameError("kind of data parallelism", str(self.parallel), PARALLEL)
        # Workers with parts of the gradients would have to agree on the scale of losses.
        rule = "parallel='fsdp' trains with dtype 'float32' or 'bfloat16'"
        require(self.parallel == "ddp" or self.dtype != "float16", rule, self.dtype)
        # Workers that hold parts of the weights would have to agree on gradients that overflow.
        rule = "with several workers, dtype must be 'float32' or 'bfloat16'"
        require(self.workers == 1 or self.dtype != "float16", rule, self.dtype)

    @property
    def bundles(self) -> list[dict[str, float]]:
        """Resources of each worker of a trial, which Ray gives to all of them or to none."""
        return [self.resources] * self.workers

    @property
    def at_full_fidelity(self) -> Self:
        """These settings with all data at its resolution and the network at its size."""
        return replace(super().at_full_fidelity, scale={})

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
        make = partial(TrainingTrial, reduced=reduced, source=source)
        return TrialRunner(space, self, make, metrics, batch=batch, team=self.team)

    @property
    def team(self) -> Team:
        """The processes that run a trial together."""
        return RayTeam(self.bundles, PARALLEL[self.parallel]) if self.workers > 1 else Team()

    def trained_space(self, space: SearchSpace) -> SearchSpace:
        """Return the space at the size that is trained, which follows from the data too."""
        return self.at_fidelity(space.architecture_space)[1]


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
        model = self.reduced.build(arch)
        weight = settings.auxiliary_weight
        task = Classification(
            self.source.n_classes,
            label_smoothing=settings.label_smoothing,
            auxiliary=AuxiliaryHead(model, self.reduced.example(2, "cpu")) if weight else None,
            auxiliary_weight=weight,
        )
        self.trainer = Trainer(
            model,
            settings.batches(self.source, self.device).share(self.workers.rank, self.workers.n),
            settings,
            seed=seed_of(settings.seed, arch.key),
            device=self.device,
            task=task,
            drop_path=settings.drop_path,
            workers=self.workers,
        )

    def advance(self) -> Mapping[str, float]:
        """Train for an epoch, then examine."""
        self.trainer.train_epoch()
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

    def take_over(self, state: State, arch: Architecture) -> Mapping[str, float]:
        """Inherit the weights that fit and continue at that epoch; the optimizer's averages start from zero."""
        if self.workers.n > 1 and self.settings.parallel == "fsdp":
            raise RaynasError("the parts of a network that is split (parallel='fsdp') inherit no weights")
        seed = seed_of(self.settings.seed, self.arch.key, "inherit")
        inputs, _ = next(iter(self.trainer.batches.examine("valid")))
        example = part_of(inputs, slice(32))
        report = inherit_between(
            self.reduced, arch, state["model"], self.arch, self.trainer.model, input_example=example, seed=seed
        )
        logger.info("%s inherits from %s: %s", self.arch.key, arch.key, report)
        self.trainer.epoch = int(state["epoch"])
        return self.trainer.examine()
