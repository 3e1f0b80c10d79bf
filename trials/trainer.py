"""Trainer: trains a network, epoch by epoch, without Ray."""

import logging
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments, Inputs, part_of
from raynas.data.batches import Batches
from raynas.errors import DataError, RaynasError
from raynas.nn.fast.plain_training import fast_depthwise_gradients
from raynas.oneshot.optimizer_state import with_settings_of
from raynas.seeds import seed_of
from raynas.trials.cell_training import DropPath
from raynas.trials.checkpoint import State
from raynas.trials.cudnn import tuned_convolutions
from raynas.trials.failures import forget_frames, give_back_memory, is_out_of_memory, is_too_small_for_batch_norm
from raynas.trials.mixed_precision import autocast
from raynas.trials.optimizers import OPTIMIZERS
from raynas.trials.task import Task
from raynas.trials.workers import Workers

if TYPE_CHECKING:
    from raynas.trials.gradient_training import GradientTraining

logger = logging.getLogger(__name__)


FEWEST_HALVED = 4
"""Number of examples from which a batch is halved: batch norms need two."""


class Trainer:
    """A network under training.

    Epoch ``n`` seeds torch's global generator and its own from ``seed`` and ``n`` alone. So training that continues
    from ``state_dict`` gives the same weights as training that was never interrupted: bit for bit on a CPU with the
    same number of threads, and as far as its kernels are deterministic on a GPU.

    Where memory runs out, batches are passed through the network in two halves from then on, and their gradients are
    added; batch norms then normalise by half a batch. Where it runs out again, or several workers train together, the
    training fails.

    Args:
        model: the network.
        batches: the data.
        settings: settings of the training; those of the data are not used.
        seed: seed of data order, augmentation and dropout.
        device: device of the training.
        task: gives loss and scores.
        drop_path: probability at the end, rising from 0, that an example skips an edge of a cell.
        workers: those that share each batch, this process among them; None for this one alone. ``batches`` are the
            share of this one.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        settings: "GradientTraining",
        *,
        seed: int,
        device: torch.device,
        task: Task,
        drop_path: float = 0.0,
        workers: Workers | None = None,
    ) -> None:
        self._together = workers or Workers()
        self.model = self._together.prepared(_placed(model, device))
        self.batches = batches
        self.settings = settings
        self.task = task
        self.epoch = 0
        self._seed = seed
        self._device = device
        self._max_drop_path = drop_path
        self._drop_path = DropPath(self.model) if drop_path else None
        beside = None if task.trained is None else self._together.prepared(task.trained.to(device))
        self._beside = [] if beside is None else list(beside.parameters())
        trained = self.model if beside is None else nn.ModuleList([self.model, beside])
        self._optimizer = OPTIMIZERS[settings.optimizer](trained, settings)
        self._lr = settings.learning_rate
        self._connected = self._together.connected(self.model)
        self._scaler = torch.amp.GradScaler(device.type, enabled=settings.dtype == "float16")
        self.n_parts = 1
        """Number of parts that a batch is passed through the network in."""

    @property
    def finished(self) -> bool:
        """True if all epochs are done."""
        return self.epoch >= self.settings.epochs

    def train_epoch(self) -> float:
        """Train for one epoch.

        Returns:
            The mean training loss of its batches.

        Raises:
            DataError: if there is nothing to train on.
            RaynasError: if the network gives something else than the task needs.
        """
        seed = seed_of(self._seed, "epoch", self.epoch)
        torch.manual_seed(seed)
        self.model.train()
        if self._drop_path is not None:
            self._drop_path.rate = self._max_drop_path * self.epoch / self.settings.epochs
        total = torch.zeros((), device=self._device)
        n_steps, steps = self.batches.n_steps, 0
        with fast_depthwise_gradients(self.model), tuned_convolutions(self._device, self.has_fixed_shapes):
            for inputs, labels in self.batches.train(seed):
                if not Arguments.of(inputs).n_examples:  # a rest with fewer examples than workers
                    continue
                self._set_lr(steps, n_steps or 1)
                try:
                    # Summed on the device: reading a number out of each step would make the GPU wait for Python.
                    loss = self._step(inputs, labels)
                except ValueError as error:
                    self._leave_out(inputs, steps, error)
                    continue
                total += loss
                steps += 1
        if not steps:
            n = self._together.n
            small = f"no training batch has an example for each of {n} workers; make batches larger"
            raise DataError(small if n > 1 else "there are no training batches")
        self._together.average([total])
        self.epoch += 1
        return float(total) / steps

    def _leave_out(self, inputs: Inputs, steps: int, error: ValueError) -> None:
        """Leave out a rest of one example, which batch norm cannot take; raise any other error."""
        n_workers = self._together.n  # all or none of which must leave a batch out
        if Arguments.of(inputs).n_examples != 1 or n_workers > 1 or not is_too_small_for_batch_norm(error):
            raise error
        if not steps:
            raise RaynasError(
                "a batch of one example cannot pass a batch norm: train with a batch_size of at least 2, and let "
                "loaders of your own drop the rest of an epoch (drop_last=True)"
            ) from error
        self._optimizer.zero_grad(set_to_none=True)
        if not self.epoch:
            logger.warning("left out: the last batch of one example, which batch norm cannot take (see drop_last=True)")

    def _step(self, inputs: Inputs, labels: Any) -> Tensor:
        loss = self._gradients(inputs, labels)
        self._together.average_gradients(self._beside)
        if self.settings.clip_norm is not None:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return loss

    def _gradients(self, inputs: Inputs, labels: Any) -> Tensor:
        """Compute the gradients of a batch, in halves if memory runs out; return the loss."""
        try:
            return self._accumulated(inputs, labels)
        except Exception as error:
            n = Arguments.of(inputs).n_examples
            is_halved = self.n_parts == 1 and n >= FEWEST_HALVED and self._together.n == 1
            if not is_halved or not is_out_of_memory(error):
                raise
            self.n_parts = 2
            logger.warning("memory ran out with a batch of %d: each goes through the network in halves from now on", n)
            forget_frames(error)
        self._optimizer.zero_grad(set_to_none=True)
        give_back_memory(self._device)
        return self._accumulated(inputs, labels)

    def _accumulated(self, inputs: Inputs, labels: Any) -> Tensor:
        """Compute the gradients of a batch, part by part; return the loss."""
        self._optimizer.zero_grad(set_to_none=True)
        n, total = Arguments.of(inputs).n_examples, torch.zeros((), device=self._device)
        if self.n_parts == 1 or n < FEWEST_HALVED:
            return self._backward(inputs, labels, 1.0)
        for i in range(self.n_parts):
            part = slice(i * n // self.n_parts, (i + 1) * n // self.n_parts)
            share = (part.stop - part.start) / n
            total += share * self._backward(part_of(inputs, part, n), part_of(labels, part, n), share)
        return total

    def _backward(self, inputs: Inputs, labels: Any, share: float) -> Tensor:
        """Add the gradients of examples, which are a share of the batch; return their loss."""
        with self._precision():
            targets = self.task.targets(inputs, labels)
            loss = self.task.loss(self.task.outputs(self._connected, inputs), targets)
        self._scaler.scale(loss if share == 1 else share * loss).backward()
        return loss.detach()

    def _precision(self) -> torch.autocast:
        return autocast(self._device, self.settings.dtype)

    @property
    def has_fixed_shapes(self) -> bool:
        """True if all tensors of a layer have one shape, from batch to batch."""
        return self.batches.has_fixed_shapes

    @property
    def notes(self) -> dict[str, str]:
        """Text to add to the results, by name."""
        if self.n_parts == 1:
            return {}
        return {"accumulation": f"memory ran out: each batch goes through the network in {self.n_parts} parts"}

    def _set_lr(self, step: int, n_steps: int) -> None:
        """Set the learning rate of a step; it follows from the epoch alone, so there is no schedule to save."""
        factor = self.settings.lr_factor(self.epoch + step / n_steps, self.epoch + (step + 1) / n_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = self._lr * factor

    def examine(self, part: str = "valid", model: nn.Module | None = None) -> dict[str, float]:
        """Return the scores over "valid" or "test" of ``model``, by default the network under training.

        Raises:
            DataError: if there is nothing to examine.
        """
        model = self.model if model is None else model
        with self._together.examining(self.model), tuned_convolutions(self._device, self.has_fixed_shapes):
            return self.task.examine(model, self.batches, part, precision=self._precision, workers=self._together)

    def state_dict(self) -> State:
        """Return all that continuing needs: tensors in plain containers, nothing copied."""
        beside = {} if self.task.trained is None else {"beside": dict(self.task.trained.state_dict())}
        model, optimizer = dict(self.model.state_dict()), self._optimizer.state_dict()
        scaler = {"scaler": self._scaler.state_dict()} if self._scaler.is_enabled() else {}
        parts = {"n_parts": self.n_parts} if self.n_parts > 1 else {}
        state = {"epoch": self.epoch, "model": model, "optimizer": optimizer, **beside, **scaler, **parts}
        return self._together.whole(state)  # type: ignore[no-any-return]

    def load_state_dict(self, state: State) -> None:
        """Continue from ``state_dict`` with the hyperparameters of this trainer, as population based training needs.

        Raises:
            Exception: if the state is another network's or optimizer's.
        """
        own = self._optimizer.param_groups[0].keys() - {"params"}
        self._together.load(self.model, state["model"])
        if self.task.trained is not None:
            self._together.load(self.task.trained, state["beside"])
        self._together.load_optimizer(self._optimizer, with_settings_of(self._optimizer, state["optimizer"], own))
        if self._scaler.is_enabled() and "scaler" in state:
            self._scaler.load_state_dict(state["scaler"])
        self.n_parts = int(state.get("n_parts", 1))
        self.epoch = int(state["epoch"])


def _placed(model: nn.Module, device: torch.device) -> nn.Module:
    """Put a model on a device, with its channels last: convolutions run 2 to 10 times faster so on a CPU."""
    if any(tensor.ndim == 5 for tensor in model.state_dict().values()):  # Convolutions of volumes have no such format.
        return model.to(device)
    return model.to(device, memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]
