"""Trainer: trains a network for image classification, epoch by epoch, without Ray."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.data.batches import Batches
from raynas.errors import DataError, RaynasError
from raynas.seeds import seed_of
from raynas.trials.checkpoint import State
from raynas.trials.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from raynas.trials.training import Training


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
    ) -> None:
        # On a CPU, convolutions run 2 to 10 times faster in this format.
        self.model: nn.Module = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.batches = batches
        self.settings = settings
        self.epoch = 0
        self._seed = seed
        self._device = device
        self._n_classes = n_classes
        self._optimizer = OPTIMIZERS[settings.optimizer](self.model, settings)
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
        total = torch.zeros((), device=self._device)
        n_steps, steps = self.batches.n_steps, 0
        for images, labels in self.batches.train(seed):
            self._set_lr(steps, n_steps or 1)
            # Summed on the device: reading a number out of each step would make the GPU wait for Python.
            total += self._step(images, labels)
            steps += 1
        if not steps:
            raise DataError("there are no training batches")
        self.epoch += 1
        return float(total) / steps

    def _step(self, images: Tensor, labels: Tensor) -> Tensor:
        with self._precision():
            loss = self.loss(logits_of(self.model, images, self._n_classes), labels)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
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
        return {"epoch": self.epoch, "model": dict(self.model.state_dict()), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Continue from ``state_dict`` with the hyperparameters of this trainer, as population based training needs.

        Raises:
            Exception: if the state is another network's or optimizer's.
        """
        own = [{k: v for k, v in group.items() if k != "params"} for group in self._optimizer.param_groups]
        self.model.load_state_dict(state["model"])
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
    for images, labels in batches.examine(part):
        with precision():
            logits = logits_of(model, images, n_classes).float()
        # Summed on the device: reading a number out of each step would make the GPU wait for Python.
        correct = correct + (logits.argmax(dim=1) == labels).sum()
        loss = loss + functional.cross_entropy(logits, labels, reduction="sum")
        n += len(labels)
    if not n:
        raise DataError(f"the {part} split is empty")
    return {"accuracy": float(correct) / n, "loss": float(loss) / n}


def logits_of(model: nn.Module, images: Tensor, n_classes: int | None = None) -> Tensor:
    """Return the network's outputs, checked.

    Raises:
        RaynasError: if they are anything but one logit per class and image.
    """
    logits = model(images)
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else (type(logits).__name__,)
    wanted = n_classes or shape[-1]
    if shape != (len(images), wanted):
        raise RaynasError(f"the network must give logits of shape ({len(images)}, {wanted}), got {shape}")
    return logits  # type: ignore[no-any-return]
