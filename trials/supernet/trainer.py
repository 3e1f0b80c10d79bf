"""SupernetTrainer: trains the shared weights of a supernet, epoch by epoch, without Ray."""

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count, islice
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from raynas.core.architecture import Architecture
from raynas.data.batches import Batch, Batches
from raynas.data.fit_space import fields_of
from raynas.data.sources import Source
from raynas.errors import DataError
from raynas.nn.batch_statistics import recalibrate
from raynas.nn.supernet import Supernet
from raynas.oneshot import Learner, Setup
from raynas.seeds import seed_of
from raynas.trials.trainer import Trainer

if TYPE_CHECKING:
    from raynas.trials.supernet.training import SupernetTraining
    from raynas.trials.training import Training


class Workers:
    """What one of several workers of data-parallel training does together with the others; here it is alone.

    Args:
        rank: which one it is, from 0.
        n: how many there are.
    """

    def __init__(self, rank: int = 0, n: int = 1) -> None:
        self.rank, self.n = rank, n

    def share(self, batch: Batch) -> Batch:
        """This worker's part of a batch, as large as every other's: what cannot be divided evenly is left out."""
        images, labels = batch
        even = len(labels) // self.n * self.n
        return images[self.rank : even : self.n], labels[self.rank : even : self.n]

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every worker the mean of all workers' gradients; all come with the same parameters."""

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Give every worker the mean of floating-point tensors, in place."""


class SupernetTrainer(Trainer):
    """Shared weights under training.

    Args:
        supernet: with fresh weights.
        source: what to train on, at the fidelity that is trained with.
        settings: how.
        device: where to train.
        workers: those that share each batch.
    """

    def __init__(
        self,
        supernet: Supernet,
        source: Source,
        settings: "SupernetTraining",
        *,
        device: torch.device,
        workers: Workers | None = None,
    ) -> None:
        method = settings.method
        self._held_out: Batches | None = None
        self._calibration = calibration_images(source, settings, settings.calibration_batches, device)
        if method.uses_valid:
            source, held_out = source.halves()
            self._held_out = settings.batches(held_out, device)
        seed, batches = seed_of(settings.seed, "supernet"), settings.batches(source, device)
        super().__init__(supernet, batches, settings, seed=seed, device=device, n_classes=source.n_classes)
        if batches.n_steps is None:
            raise DataError(f"{source.name}: training shared weights needs a training loader with a length")
        self._workers = workers or Workers()
        self._valid: Iterator[Batch] = iter(())
        self.watched: Mapping[str, float] = {}
        self.learner: Learner = method.start(
            Setup(
                supernet=supernet,
                optimizer=self._optimizer,
                n_epochs=settings.epochs,
                n_steps=batches.n_steps,
                seed=seed,
                loss=self.loss,
                precision=self._precision,
                average_gradients=self._workers.average_gradients,
                clip_norm=settings.clip_norm,
                latency_threads=settings.latency_threads,
            )
        )

    def run_epoch(self) -> dict[str, float]:
        """Train for one epoch, then score the learner's candidates.

        Returns:
            "train_loss", "accuracy" and "loss" of the candidates with inherited weights, and what the learner watches;
            only the first of several workers examines.
        """
        train_loss = self.train_epoch()
        scores = self.examine_candidates() if self._workers.rank == 0 else {}
        return {**scores, "train_loss": train_loss, **self.watched}

    def train_epoch(self) -> float:
        """Train for one epoch; gives the mean training loss of its batches."""
        if self._held_out:
            self._valid = _endless(self._held_out, seed_of(self._seed, "held out", self.epoch))
        self.learner.begin_epoch()
        loss = torch.tensor(super().train_epoch())
        buffers = [b for b in self.learner.supernet.buffers() if b.is_floating_point()]
        self._workers.average([loss, *buffers])
        self.watched = self.learner.end_epoch(self._watched_batches)
        return float(loss)

    def _step(self, images: Tensor, labels: Tensor) -> Tensor:
        valid = self._workers.share(next(self._valid)) if self._held_out else None
        return self.learner.step(self._workers.share((images, labels)), valid)

    def _watched_batches(self) -> Iterator[Batch]:
        return (self._held_out or self.batches).examine("valid")

    def examine_candidates(self) -> dict[str, float]:
        """Mean accuracy and loss of the learner's candidates, on the validation split."""
        scores = [self.examine("valid", self._inherited(arch)) for arch in self.learner.candidates()]
        return {name: fmean(score[name] for score in scores) for name in scores[0]}

    def _inherited(self, arch: Architecture) -> nn.Module:
        """The candidate as a network with the shared weights, its batch norms recalibrated."""
        supernet = self.learner.supernet
        if supernet.partial_channels > 1:  # nothing can be extracted from it, so a path of a copy is scored
            model: nn.Module = _Path(copy.deepcopy(supernet), arch)
        else:
            model = supernet.extract(arch, copy_weights=False)
        recalibrate(model, self._calibration())
        return model

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on: tensors in plain containers, nothing copied."""
        return self.learner.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``.

        Raises:
            Exception: if the state is another supernet's, optimizer's or method's.
        """
        self.learner.load_state_dict(state)
        self.epoch = self.learner.epoch


def told_by(trainer: SupernetTrainer) -> dict[str, Any]:
    """What a method tells besides scores, in plain containers.

    Returns:
        "derived", the architecture that it has found or None; "ended_because", why it stops early; "sizes" and
        "partial_channels" of the supernet as it is now, which a method of several stages may have changed.
    """
    learner = trainer.learner
    derived, now, first = learner.derived, learner.supernet.space, learner.setup.supernet.space
    values = {name: (getattr(now, name), getattr(first, name)) for name in fields_of(now)}
    return {
        "derived": derived.to_config() if derived is not None else None,
        "ended_because": learner.ended_because,
        "sizes": {name: value for name, (value, before) in values.items() if value != before},
        "partial_channels": learner.supernet.partial_channels,
    }


class _Path(nn.Module):
    """One path of a supernet, as a network."""

    def __init__(self, supernet: Supernet, arch: Architecture) -> None:
        super().__init__()
        self.supernet, self._arch = supernet, arch

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.supernet(images, self._arch)
        return logits


def _endless(batches: Batches, seed: int) -> Iterator[Batch]:
    """Held-out batches, shuffled anew whenever they run out."""
    for n in count():
        yield from batches.train(seed_of(seed, n))


def calibration_images(
    source: Source, settings: "Training", n_batches: int, device: torch.device
) -> Callable[[], Iterable[Tensor]]:
    """What gives the images for recalibration: the same training images each time, as far as arrays go not augmented.

    Args:
        source: whose training images to take.
        settings: say how large a batch is.
        n_batches: how many.
        device: where they go.
    """
    batches = dataclasses.replace(settings, augment="none").batches(source, device)
    kept: list[Tensor] = []

    def images() -> list[Tensor]:
        if not kept:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                kept.extend(images for images, _ in islice(batches.train(seed_of("calibration")), n_batches))
        return kept

    return images
