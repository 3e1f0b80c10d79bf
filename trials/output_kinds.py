"""Kinds of predictions: how far a student is from its teacher, and from labels.

Every kind turns outputs into rows, one for each prediction, whatever their layout: images of classes, sequences of
tokens, or one row for each example.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100
"""Label of a prediction that counts nowhere, such as one of padding; that of torch's cross entropy."""

SMALLEST = 1e-6
"""Bound of probabilities, so that their logarithms are finite in single precision."""


class OutputKind(ABC):
    """Meaning of outputs; a row has shape ``(k,)``, all rows ``(n, k)``."""

    def rows(self, outputs: Tensor) -> Tensor:
        """Return outputs as ``(n, 1)``: each number is one prediction."""
        return outputs.reshape(-1, 1)

    @abstractmethod
    def divergence(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Return the loss of each row against the teacher's, ``(n,)``; 0 if they are equal."""

    @abstractmethod
    def loss(self, rows: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each row against its label, ``(n,)``."""

    def decided(self, rows: Tensor) -> Tensor | None:
        """Return the answer of each row, ``(n,)``; None where numbers are no answers that can be equal."""
        return None

    def fits(self, rows: Tensor, labels: object) -> bool:
        """Return True if these are labels of the rows: a real number each."""
        return isinstance(labels, Tensor) and labels.numel() == len(rows)

    takes_logits: ClassVar[bool] = False
    """True if outputs are logits, which are hardly ever all from 0 to 1."""


class Classes(OutputKind):
    """Logits of classes that exclude each other.

    The loss against the teacher is that of Hinton et al. ("Distilling the Knowledge in a Neural Network", 2015,
    arXiv:1503.02531): the divergence of Kullback and Leibler between both distributions at a temperature, times its
    square, so that gradients keep their size.

    Args:
        dim: dimension of the classes; None for the last, or for the second of images of classes
            ``(batch, classes, height, width)``.
    """

    takes_logits = True

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim

    def rows(self, outputs: Tensor) -> Tensor:
        """Return logits as ``(n, classes)``."""
        dim = self.dim if self.dim is not None else 1 if outputs.ndim > 3 else -1
        return outputs.movedim(dim, -1).flatten(0, -2)

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        log_student, log_teacher = ((rows / temperature).log_softmax(1) for rows in (student, teacher))
        return (log_teacher.exp() * (log_teacher - log_student)).sum(1) * temperature**2

    def loss(self, rows: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(rows, labels.reshape(-1), reduction="none", ignore_index=IGNORED)

    def decided(self, rows: Tensor) -> Tensor:
        return rows.argmax(1)

    def fits(self, rows: Tensor, labels: object) -> bool:
        """Return True if there is a whole number for each row."""
        return super().fits(rows, labels) and isinstance(labels, Tensor) and not labels.is_floating_point()


class Probabilities(OutputKind):
    """Probabilities of events that do not exclude each other, as after a sigmoid."""

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Return the divergence between both Bernoulli distributions; there is no temperature."""
        teacher = teacher.clamp(SMALLEST, 1 - SMALLEST)
        return self.loss(student, teacher) - self.loss(teacher, teacher)

    def loss(self, rows: Tensor, labels: Tensor) -> Tensor:
        labels = labels.reshape(-1, 1).to(rows.dtype)
        rows = rows.clamp(SMALLEST, 1 - SMALLEST)
        return -(labels * rows.log() + (1 - labels) * (1 - rows).log()).squeeze(1)

    def decided(self, rows: Tensor) -> Tensor:
        return rows.squeeze(1) > 0.5


class Binary(OutputKind):
    """Logits of events that do not exclude each other."""

    takes_logits = True

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        soft = (teacher / temperature).sigmoid()
        return (self.loss(student / temperature, soft) - self.loss(teacher / temperature, soft)) * temperature**2

    def loss(self, rows: Tensor, labels: Tensor) -> Tensor:
        labels = labels.reshape(-1, 1).to(rows.dtype)
        return functional.binary_cross_entropy_with_logits(rows, labels, reduction="none").squeeze(1)

    def decided(self, rows: Tensor) -> Tensor:
        return rows.squeeze(1) > 0


class Values(OutputKind):
    """Real numbers, as of a regression; all losses are squared differences."""

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        return self.loss(student, teacher)

    def loss(self, rows: Tensor, labels: Tensor) -> Tensor:
        return (rows - labels.reshape(-1, 1)).square().squeeze(1)


OUTPUT_KINDS: Mapping[str, OutputKind] = {
    "binary": Binary(),
    "classes": Classes(),
    "probabilities": Probabilities(),
    "values": Values(),
}
"""Kinds of outputs by name."""


def are_probabilities(outputs: Tensor) -> bool:
    """Return True if no output is outside of [0, 1], as no logits of a trained network are."""
    low, high = torch.aminmax(outputs.float())
    return float(low) >= 0 and float(high) <= 1
