"""SupernetTrainer: trains the shared weights of a supernet, epoch by epoch, without Ray."""

import copy
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain, count
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from torch import Tensor, nn

from raynas.core.architecture import Architecture, Option
from raynas.core.feasible_sampler import MemberLimits
from raynas.core.inputs import Inputs
from raynas.data.batches import Batch, Batches
from raynas.data.fit_space import fields_of
from raynas.data.sources import Source
from raynas.errors import DataError
from raynas.nn.batch_statistics import is_recalibrated, recalibrate
from raynas.nn.elastic import ElasticLayer
from raynas.nn.supernet import Selected, Supernet
from raynas.oneshot import Learner, Setup
from raynas.seeds import seed_of
from raynas.trials.checkpoint import State
from raynas.trials.supernet.calibration import calibration_inputs
from raynas.trials.task import Classification, Task
from raynas.trials.trainer import Trainer
from raynas.trials.workers import Workers

if TYPE_CHECKING:
    from raynas.trials.supernet.training import WeightSharing


class MethodReport(TypedDict):
    """State of a method besides scores, in plain containers.

    Args:
        derived: config of the architecture that it has derived; None if there is none.
        ended_because: reason to stop early; empty if there is none.
        sizes: fields of the space that differ from the beginning, as a method of several stages may change them.
        partial_channels: see ``Supernet``.
        weights: those of options by decision, if the method learns them; see ``RelaxedWeights``.
    """

    derived: dict[str, Option] | None
    ended_because: str
    sizes: dict[str, object]
    partial_channels: int
    weights: dict[str, dict[str, float]]


class SupernetTrainer(Trainer):
    """Trains the weights of a supernet.

    Args:
        supernet: with fresh weights.
        source: the data, at the fidelity of the training.
        settings: settings of the training.
        device: device of the training.
        task: gives losses and scores; None for the classes of the data.
        workers: those that share each batch.
        limits: hard limits on costs of the networks.
    """

    def __init__(
        self,
        supernet: Supernet,
        source: Source,
        settings: "WeightSharing",
        *,
        device: torch.device,
        task: Task | None = None,
        workers: Workers | None = None,
        limits: MemberLimits | None = None,
    ) -> None:
        method = settings.method
        self._held_out: Batches | None = None
        self._calibration = calibration_inputs(source, settings, settings.calibration_batches, device)
        workers = workers or Workers()
        if method.uses_valid:
            source, held_out = source.halves()
            self._held_out = settings.batches(held_out, device).share(workers.rank, workers.n)
        seed = seed_of(settings.seed, "supernet")
        batches = settings.batches(source, device).share(workers.rank, workers.n)
        task = task or Classification(source.n_classes)
        super().__init__(supernet, batches, settings, seed=seed, device=device, task=task)
        if batches.n_steps is None:
            raise DataError(f"{source.name}: training shared weights needs a training loader with a length")
        self._workers = workers
        self._valid: Iterator[Batch] = iter(())
        self.watched: Mapping[str, float] = {}
        self.learner: Learner = method.start(
            Setup(
                supernet=supernet,
                optimizer=self._optimizer,
                n_epochs=settings.epochs,
                n_steps=batches.n_steps,
                seed=seed,
                loss=task.loss,
                imitation=task.imitation,
                outputs=task.outputs,
                precision=self._precision,
                average_gradients=self._workers.average_gradients,
                clip_norm=settings.clip_norm,
                latency_threads=settings.latency_threads,
                limits=limits,
            )
        )

    def run_epoch(self) -> dict[str, float]:
        """Train for one epoch, then score the learner's candidates.

        Returns:
            "train_loss", the scores of the candidates with inherited weights ("accuracy" and "loss" for classes), and
            those of the learner; only the first of several workers examines.
        """
        train_loss = self.train_epoch()
        scores = self.examine_candidates() if self._workers.rank == 0 else {}
        return {**scores, "train_loss": train_loss, **self.watched}

    def train_epoch(self) -> float:
        """Train for one epoch; return the mean training loss of its batches."""
        if self._held_out:
            seed, held_out = seed_of(self._seed, "held out", self.epoch), self._held_out
            self._valid = chain.from_iterable(held_out.train(seed_of(seed, n)) for n in count())
        self.learner.begin_epoch()
        loss = torch.tensor(super().train_epoch(), device=self._device)
        buffers = [b for b in self.learner.supernet.buffers() if b.is_floating_point()]
        self._workers.average([loss, *buffers])
        self.watched = self.learner.end_epoch(partial((self._held_out or self.batches).examine, "valid"))
        return float(loss)

    @property
    def has_fixed_shapes(self) -> bool:
        """False with layers whose size is drawn for each batch."""
        layers = self.learner.supernet.modules()
        return super().has_fixed_shapes and not any(isinstance(layer, ElasticLayer) for layer in layers)

    def _step(self, inputs: Inputs, labels: Any) -> Tensor:
        valid = self._with_targets(next(self._valid)) if self._held_out else None
        return self.learner.step(self._with_targets((inputs, labels)), valid)

    def _with_targets(self, batch: Batch) -> Batch:
        """Return a batch with the targets of the task in the place of labels."""
        inputs, labels = batch
        with self._precision():
            return inputs, self.task.targets(inputs, labels)

    def examine_candidates(self) -> dict[str, float]:
        """Return the mean scores of the learner's candidates, on the validation split."""
        scores = [self.examine("valid", self._inherited(arch)) for arch in self.learner.candidates()]
        return {name: fmean(score[name] for score in scores) for name in scores[0]}

    def _inherited(self, arch: Architecture) -> nn.Module:
        """Return the candidate as a network with the shared weights, its batch norms recalibrated."""
        supernet = self.learner.supernet
        if supernet.partial_channels > 1:  # nothing can be extracted from it, so a path of a copy is scored
            model: nn.Module = Selected(copy.deepcopy(supernet), arch)
        else:
            model = supernet.extract(arch, copy_weights=False)
        if is_recalibrated(model):
            recalibrate(model, self._calibration())
        return model

    @property
    def report(self) -> MethodReport:
        """State of the method after the last epoch."""
        learner = self.learner
        derived, now, first = learner.derived, learner.supernet.space, learner.setup.supernet.space
        values = {name: (getattr(now, name), getattr(first, name)) for name in fields_of(now)}
        return {
            "derived": derived.to_config() if derived is not None else None,
            "ended_because": learner.ended_because,
            "sizes": {name: value for name, (value, before) in values.items() if value != before},
            "partial_channels": learner.supernet.partial_channels,
            "weights": learner.option_weights(),
        }

    def state_dict(self) -> State:
        """Return all that continuing needs: tensors in plain containers, nothing copied."""
        return self.learner.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Continue from ``state_dict``.

        Raises:
            Exception: if the state is another supernet's, optimizer's or method's.
        """
        self.learner.load_state_dict(state)
        self.epoch = self.learner.epoch
