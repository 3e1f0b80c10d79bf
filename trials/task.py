"""Task: the purpose of a training, from the outputs of a network to a loss and to scores."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.core.inputs import Arguments, Inputs
from raynas.core.near_ties import share_of
from raynas.data.batches import Batches
from raynas.data.logits import as_logits
from raynas.errors import DataError, RaynasError
from raynas.oneshot.base import soft_cross_entropy
from raynas.trials.cell_training import AuxiliaryHead
from raynas.trials.examples import Examples
from raynas.trials.portions import Portions
from raynas.trials.workers import Workers


@dataclass(frozen=True)
class Total:
    """A score summed over the predictions of a batch.

    Args:
        value: the sum, a scalar on the device: reading a number out of each batch would make a GPU wait for Python.
        n: number of predictions.
        is_share: True for a count of predictions, whose share has the error of a share.
    """

    value: Tensor
    n: int
    is_share: bool = False

    def __add__(self, other: "Total") -> "Total":
        return Total(self.value + other.value, self.n + other.n, self.is_share)

    @property
    def on_cpu(self) -> "Total":
        """The same on the CPU, to be sent to another process."""
        return replace(self, value=self.value.detach().cpu().clone())

    @property
    def mean(self) -> float:
        """Mean over all predictions."""
        value = float(self.value)
        return share_of(value, self.n) if self.is_share else value / self.n


def added(sums: Mapping[str, Total], totals: Mapping[str, Total]) -> dict[str, Total]:
    """Return the sums of scores by name."""
    return {**sums, **{name: sums[name] + total if name in sums else total for name, total in totals.items()}}


class Task(ABC):
    """Purpose of a training: the targets of a batch, the loss of outputs, and scores of the network.

    Nothing here is about images or classes; ``Classification`` is.
    """

    trained: nn.Module | None = None
    """A module that is trained together with the network, but is no part of it; None for none."""

    @abstractmethod
    def outputs(self, model: nn.Module, inputs: Inputs) -> Tensor:
        """Run the network.

        Raises:
            RaynasError: if it gives something else than the task needs.
        """

    def targets(self, inputs: Inputs, labels: Any) -> Any:
        """Return what outputs are compared with; by default the labels."""
        return labels

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Any) -> Tensor:
        """Return the loss to minimise, a scalar: the mean over the predictions of a batch."""

    def imitation(self, outputs: Tensor, given: Tensor, targets: Any) -> Tensor:
        """Return the loss of outputs against those of another network for the same inputs, a scalar.

        Raises:
            RaynasError: if the task has none, by default.
        """
        raise RaynasError(f"{type(self).__name__} does not say how far one network's outputs are from another's")

    @abstractmethod
    def totals(self, outputs: Tensor, targets: Any) -> Mapping[str, Total]:
        """Return scores of a batch by name, such as "accuracy" and "loss"; outputs are in single precision."""

    @torch.inference_mode()
    def examine(
        self,
        model: nn.Module,
        batches: Batches,
        part: str = "valid",
        *,
        precision: Callable[[], AbstractContextManager[object]] = nullcontext,
        workers: Workers | None = None,
    ) -> dict[str, float]:
        """Return the scores of a network over "valid" or "test"; leave it in eval mode.

        Args:
            model: the network.
            batches: the data.
            part: "valid" or "test".
            precision: context of forward passes.
            workers: those that share the batches; None for this process alone.

        Raises:
            DataError: if there is nothing to examine.
            RaynasError: if the network gives something else than the task needs.
        """
        return self.scores(model, Examples(self, batches, part, precision, workers=workers), precision)

    @torch.inference_mode()
    def scores(
        self,
        model: nn.Module,
        examples: Examples,
        precision: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> dict[str, float]:
        """Return the scores of a network over examples, as ``examine`` does."""
        model.eval()
        sums: dict[str, Total] = {}
        portions = Portions()

        def totals_of(inputs: Inputs, targets: Any) -> Mapping[str, Total]:
            with precision():
                outputs = self.outputs(model, inputs)
            return self.totals(outputs.float(), targets)

        for inputs, _, targets in examples:
            for totals in portions.run(totals_of, inputs, targets):
                sums = added(sums, totals)
        if examples.workers.n > 1:
            each = examples.workers.gathered({name: total.on_cpu for name, total in sums.items()})
            sums = reduce(added, each, {})
        if not any(total.n for total in sums.values()):
            raise DataError(f"the {examples.part} split is empty")
        return {name: total.mean for name, total in sums.items()}


class Classification(Task):
    """One label for each example; "accuracy" in [0, 1], and "loss", the mean cross entropy without label smoothing.

    Args:
        n_classes: number of logits that the network must give; None if unknown.
        label_smoothing: from 0 to below 1.
        auxiliary: a second classifier of the network, trained with it; None for none.
        auxiliary_weight: weight of its loss.
    """

    def __init__(
        self,
        n_classes: int | None = None,
        *,
        label_smoothing: float = 0.0,
        auxiliary: AuxiliaryHead | None = None,
        auxiliary_weight: float = 0.0,
    ) -> None:
        self.n_classes = n_classes
        self.trained = auxiliary
        self._label_smoothing, self._auxiliary, self._weight = label_smoothing, auxiliary, auxiliary_weight

    def outputs(self, model: nn.Module, inputs: Inputs) -> Tensor:
        """Return logits of shape ``(batch, n_classes)``.

        Raises:
            RaynasError: if the network gives anything but one logit per class and example.
        """
        return logits_of(model, inputs, self.n_classes)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross entropy, with that of the second classifier, which has seen the same batch."""
        loss = functional.cross_entropy(outputs, targets, label_smoothing=self._label_smoothing)
        if self._auxiliary is not None:
            second = functional.cross_entropy(self._auxiliary(), targets, label_smoothing=self._label_smoothing)
            loss = loss + self._weight * second
        return loss

    def imitation(self, outputs: Tensor, given: Tensor, targets: object) -> Tensor:
        """Return the cross entropy against the other network's probabilities."""
        return soft_cross_entropy(outputs, given, targets)

    def totals(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Total]:
        """Return the number of correct predictions, and the cross entropy."""
        correct = (outputs.argmax(dim=1) == targets).sum()
        loss = functional.cross_entropy(outputs, targets, reduction="sum")
        return {"accuracy": Total(correct, len(targets), is_share=True), "loss": Total(loss, len(targets))}


def logits_of(model: nn.Module, inputs: Inputs, n_classes: int | None = None) -> Tensor:
    """Return the network's outputs, checked.

    Raises:
        RaynasError: if they are anything but one logit per class and example.
    """
    arguments = Arguments.of(inputs)
    return as_logits(arguments.call(model), arguments.n_examples, n_classes)
