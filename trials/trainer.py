"""Trainer: trains a network to classify, epoch by epoch, without Ray."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.core.inputs import Arguments, Inputs
from raynas.core.near_ties import share_of
from raynas.data.batches import Batches
from raynas.data.logits import as_logits
from raynas.errors import DataError, RaynasError
from raynas.nn.fast.plain_training import fast_depthwise_gradients
from raynas.seeds import seed_of
from raynas.trials.cell_training import AuxiliaryHead, DropPath
from raynas.trials.checkpoint import State
from raynas.trials.failures import is_too_small_for_batch_norm
from raynas.trials.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from raynas.trials.training import Training

logger = logging.getLogger(__name__)


class Trainer:
    """A network under training.

    Epoch ``n`` seeds torch's global generator and its own from ``seed`` and ``n`` alone. So training that continues
    from ``state_dict`` gives the same weights as training that was never interrupted: bit for bit on a CPU with the
    same number of threads, and as far as its kernels are deterministic on a GPU.

    Args:
        model: the network, with fresh weights; gives logits of shape ``(batch, n_classes)``.
        batches: the data.
        settings: settings of the training; those of the data are not used.
        seed: seed of data order, augmentation and dropout.
        device: device of the training.
        n_classes: number of logits that the network must give; None if unknown.
        auxiliary: a second classifier of the network, trained with it; None for none.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        settings: "Training",
        *,
        seed: int,
        device: torch.device,
        n_classes: int | None = None,
        auxiliary: AuxiliaryHead | None = None,
    ) -> None:
        self.model = _placed(model, device)
        self.batches = batches
        self.settings = settings
        self.epoch = 0
        self._seed = seed
        self._device = device
        self._n_classes = n_classes
        self._auxiliary = None if auxiliary is None else auxiliary.to(device)
        self._drop_path = DropPath(self.model) if settings.drop_path else None
        trained = self.model if auxiliary is None else nn.ModuleList([self.model, auxiliary])
        self._optimizer = OPTIMIZERS[settings.optimizer](trained, settings)
        self._lr = settings.learning_rate

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
            RaynasError: if the network gives anything but one logit per class.
        """
        seed = seed_of(self._seed, "epoch", self.epoch)
        torch.manual_seed(seed)
        self.model.train()
        if self._drop_path is not None:
            self._drop_path.rate = self.settings.drop_path * self.epoch / self.settings.epochs
        total = torch.zeros((), device=self._device)
        n_steps, steps = self.batches.n_steps, 0
        with fast_depthwise_gradients(self.model):
            for inputs, labels in self.batches.train(seed):
                self._set_lr(steps, n_steps or 1)
                try:
                    # Summed on the device: reading a number out of each step would make the GPU wait for Python.
                    total += self._step(inputs, labels)
                except ValueError as error:
                    self._leave_out(labels, steps, error)
                    continue
                steps += 1
        if not steps:
            raise DataError("there are no training batches")
        self.epoch += 1
        return float(total) / steps

    def _leave_out(self, labels: Tensor, steps: int, error: ValueError) -> None:
        """Leave out a rest of one example, which batch norm cannot take; raise any other error."""
        if len(labels) != 1 or not is_too_small_for_batch_norm(error):
            raise error
        if not steps:
            raise RaynasError(
                "a batch of one example cannot pass a batch norm: train with a batch_size of at least 2, and let "
                "loaders of your own drop the rest of an epoch (drop_last=True)"
            ) from error
        self._optimizer.zero_grad(set_to_none=True)
        if not self.epoch:
            logger.warning("left out: the last batch of one example, which batch norm cannot take (see drop_last=True)")

    def _step(self, inputs: Inputs, labels: Tensor) -> Tensor:
        with self._precision():
            loss = self.loss(logits_of(self.model, inputs, self._n_classes), labels)
            if self._auxiliary is not None:
                loss = loss + self.settings.auxiliary_weight * self.loss(self._auxiliary(), labels)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.settings.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        self._optimizer.step()
        return loss.detach()

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss to minimise: the cross entropy, a scalar."""
        return functional.cross_entropy(logits, labels, label_smoothing=self.settings.label_smoothing)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self.settings.dtype == "bfloat16")

    def _set_lr(self, step: int, n_steps: int) -> None:
        """Set the learning rate of a step; it follows from the epoch alone, so there is no schedule to save."""
        factor = self.settings.lr_factor(self.epoch + step / n_steps, self.epoch + (step + 1) / n_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = self._lr * factor

    def examine(self, part: str = "valid", model: nn.Module | None = None) -> dict[str, float]:
        """Return accuracy and loss over "valid" or "test" of ``model``, by default the network under training.

        Raises:
            DataError: if there is nothing to examine.
        """
        model = self.model if model is None else model
        return examine(model, self.batches, part, precision=self._precision, n_classes=self._n_classes)

    def state_dict(self) -> State:
        """Return all that continuing needs: tensors in plain containers, nothing copied."""
        head = {} if self._auxiliary is None else {"auxiliary": dict(self._auxiliary.state_dict())}
        model, optimizer = dict(self.model.state_dict()), self._optimizer.state_dict()
        return {"epoch": self.epoch, "model": model, "optimizer": optimizer, **head}

    def load_state_dict(self, state: State) -> None:
        """Continue from ``state_dict`` with the hyperparameters of this trainer, as population based training needs.

        Raises:
            Exception: if the state is another network's or optimizer's.
        """
        own = [{k: v for k, v in group.items() if k != "params"} for group in self._optimizer.param_groups]
        self.model.load_state_dict(state["model"])
        if self._auxiliary is not None:
            self._auxiliary.load_state_dict(state["auxiliary"])
        self._optimizer.load_state_dict(state["optimizer"])
        for group, settings in zip(self._optimizer.param_groups, own, strict=True):
            group.update(settings)
        self.epoch = int(state["epoch"])


@torch.inference_mode()
def examine(
    model: nn.Module,
    batches: Batches,
    part: str = "valid",
    *,
    precision: Callable[[], AbstractContextManager[object]] = nullcontext,
    n_classes: int | None = None,
) -> dict[str, float]:
    """Return accuracy in [0, 1] and mean cross entropy, without label smoothing; leave the network in eval mode.

    Args:
        model: the network.
        batches: the data.
        part: "valid" or "test".
        precision: context of forward passes.
        n_classes: number of logits that the network must give; None if unknown.

    Raises:
        DataError: if there is nothing to examine.
        RaynasError: if the network gives anything but one logit per class.
    """
    model.eval()
    correct: Tensor | float = 0.0
    loss: Tensor | float = 0.0
    n = 0
    for inputs, labels in batches.examine(part):
        with precision():
            logits = logits_of(model, inputs, n_classes).float()
        # Summed on the device: reading a number out of each step would make the GPU wait for Python.
        correct = correct + (logits.argmax(dim=1) == labels).sum()
        loss = loss + functional.cross_entropy(logits, labels, reduction="sum")
        n += len(labels)
    if not n:
        raise DataError(f"the {part} split is empty")
    return {"accuracy": share_of(float(correct), n), "loss": float(loss) / n}


def logits_of(model: nn.Module, inputs: Inputs, n_classes: int | None = None) -> Tensor:
    """Return the network's outputs, checked.

    Raises:
        RaynasError: if they are anything but one logit per class and example.
    """
    arguments = Arguments.of(inputs)
    return as_logits(arguments.call(model), arguments.n_examples, n_classes)


def _placed(model: nn.Module, device: torch.device) -> nn.Module:
    """Put a model on a device, with its channels last: convolutions run 2 to 10 times faster so on a CPU."""
    if any(tensor.ndim == 5 for tensor in model.state_dict().values()):  # Convolutions of volumes have no such format.
        return model.to(device)
    return model.to(device, memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]
