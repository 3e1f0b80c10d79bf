"""Distilled: the task of a student, to predict what its teacher predicts."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments, Inputs
from raynas.errors import RaynasError
from raynas.trials.examples import Examples
from raynas.trials.features import FeatureMatching, captured
from raynas.trials.output_kinds import IGNORED, OutputKind
from raynas.trials.task import Task, Total

Score = Callable[[nn.Module, Iterable[tuple[Any, Any]]], Mapping[str, float]]
"""A function of a network in eval mode and batches of inputs and targets, which returns metrics."""

LabelLoss = Callable[[Tensor, Any], Tensor]
"""A function of outputs and targets, which returns the mean loss of a batch."""


@dataclass(frozen=True)
class Taught:
    """Targets of a batch.

    Args:
        labels: those of the data; None if there are none.
        outputs: the teacher's.
        features: hidden states of the teacher by layer.
    """

    labels: Any
    outputs: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)


class Teacher:
    """A trained network, which is only read, and its outputs on data that is examined again and again.

    Args:
        model: the network.
        device: device to compute on.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.model = model.eval().requires_grad_(False).to(device)

    @torch.no_grad()
    def taught(self, inputs: Inputs, labels: Any, layers: Iterable[str] = ()) -> Taught:
        """Return the targets of a batch."""
        with captured(self.model, list(layers)) as features:
            outputs = output_of(self.model, inputs)
        return Taught(labels, outputs, features)


def output_of(model: nn.Module, inputs: Inputs) -> Tensor:
    """Return the prediction of a network: its output, or the ``logits`` or the first tensor in it.

    Raises:
        RaynasError: if it is no tensor of real numbers.
    """
    output: object = Arguments.of(inputs).call(model)
    if not isinstance(output, Tensor):
        parts = output if isinstance(output, Mapping) else getattr(output, "__dict__", {})
        output = parts["logits"] if "logits" in parts else output[0] if isinstance(output, tuple | list) else output
    if not isinstance(output, Tensor) or not output.is_floating_point():
        raise RaynasError(
            f"the network gives a {type(output).__name__}: distillation needs a tensor of real numbers, alone, "
            "first in a tuple, or as logits"
        )
    return output


class Distilled(Task):
    """Scores "divergence" from the teacher and, where answers can be compared, "agreement" with it in [0, 1].

    Where the data has labels that fit the outputs, "loss" and "accuracy" against these too.

    Args:
        teacher: gives the targets.
        kind: kind of outputs.
        temperature: of soft targets in the loss; scores are at 1.
        label_weight: share of the loss against labels, from 0 to 1; the rest is that against the teacher.
        label_loss: the loss against labels; None for that of the kind.
        features: hidden states to match; None for none.
        feature_weight: weight of their error, beside 1 for the loss of outputs.
        score: further scores of the user's; None for none.
    """

    def __init__(
        self,
        teacher: Teacher,
        kind: OutputKind,
        *,
        temperature: float = 2.0,
        label_weight: float = 0.0,
        label_loss: LabelLoss | None = None,
        features: FeatureMatching | None = None,
        feature_weight: float = 0.0,
        score: Score | None = None,
    ) -> None:
        self.teacher, self.kind, self.trained = teacher, kind, features
        self._temperature, self._label_weight, self._label_loss = temperature, label_weight, label_loss
        self._features, self._feature_weight, self._score = features, feature_weight, score
        self._own: Mapping[str, Tensor] = {}

    def outputs(self, model: nn.Module, inputs: Inputs) -> Tensor:
        """Return the network's prediction; remember hidden states in training."""
        if self._features is None or not model.training:
            return output_of(model, inputs)
        with captured(model, list(self._features.layers)) as self._own:
            return output_of(model, inputs)

    def targets(self, inputs: Inputs, labels: Any) -> Taught:
        """Ask the teacher."""
        layers = self._features.layers.values() if self._features is not None and torch.is_grad_enabled() else ()
        return self.teacher.taught(inputs, labels, layers)

    def loss(self, outputs: Tensor, targets: Taught) -> Tensor:
        """Return the loss against the teacher, the labels and the hidden states.

        Raises:
            RaynasError: if labels have a weight, but do not fit the outputs.
        """
        rows, taught, counts = self._rows(outputs, targets)
        loss = _mean(self.kind.divergence(rows, taught, self._temperature), counts)
        if self._label_weight:
            loss = (1 - self._label_weight) * loss + self._label_weight * self._against_labels(outputs, rows, targets)
        if self._features is not None:
            loss = loss + self._feature_weight * self._features.error(self._own, targets.features)
        return loss

    def imitation(self, outputs: Tensor, given: Tensor, targets: Taught) -> Tensor:
        """Return the divergence from another network, at the temperature of the loss, of the predictions that count."""
        rows, taught, counts = self._rows(outputs, replace(targets, outputs=given))
        return _mean(self.kind.divergence(rows, taught, self._temperature), counts)

    def loss_of_labels(self, outputs: Tensor, targets: Taught) -> Tensor:
        """Return the mean loss against labels that fit; where there are none, against the teacher's outputs."""
        rows, taught, counts = self._rows(outputs, targets)
        has_labels = self.kind.fits(rows, targets.labels)
        each = self.kind.loss(rows, targets.labels) if has_labels else self.kind.divergence(rows, taught, 1.0)
        return _mean(each, counts)

    def loss_of_answers(self, outputs: Tensor, targets: Taught) -> Tensor:
        """Return a mean loss whose gradient does not vanish where the network is its own teacher.

        It is that against labels that fit; where there are none, against what the teacher decides, as if it were true;
        where it decides nothing, as with values, the mean square of the outputs.
        """
        rows, taught, counts = self._rows(outputs, targets)
        labels = targets.labels if self.kind.fits(rows, targets.labels) else self.kind.decided(taught)
        return _mean(rows.square().mean(1) if labels is None else self.kind.loss(rows, labels), counts)

    def _against_labels(self, outputs: Tensor, rows: Tensor, targets: Taught) -> Tensor:
        if self._label_loss is not None:
            return self._label_loss(outputs, targets.labels)
        if not self.kind.fits(rows, targets.labels):
            raise RaynasError(
                f"label_weight is {self._label_weight}, but the data has no labels that fit outputs of shape "
                f"{tuple(outputs.shape)}: set label_loss to a function of outputs and targets, or label_weight to 0"
            )
        counts = self._rows(outputs, targets)[2]
        return _mean(self.kind.loss(rows, targets.labels), counts)

    def _rows(self, outputs: Tensor, targets: Taught) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return rows of student and teacher in single precision, and which of them count; None for all."""
        if outputs.shape != targets.outputs.shape:
            raise RaynasError(
                f"the network gives outputs of shape {tuple(outputs.shape)}, its teacher {tuple(targets.outputs.shape)}"
            )
        rows, taught = self.kind.rows(outputs).float(), self.kind.rows(targets.outputs).float()
        labels = targets.labels
        is_masked = isinstance(labels, Tensor) and not labels.is_floating_point() and labels.numel() == len(rows)
        return rows, taught, labels.reshape(-1) != IGNORED if is_masked else None

    def totals(self, outputs: Tensor, targets: Taught) -> Mapping[str, Total]:
        """Return divergence, agreement, and where labels fit loss and accuracy."""
        rows, taught, counts = self._rows(outputs, targets)
        n = len(rows) if counts is None else int(counts.sum())

        def total(each: Tensor, *, is_share: bool = False) -> Total:
            return Total((each if counts is None else each[counts]).sum(), n, is_share)

        scores = {"divergence": total(self.kind.divergence(rows, taught, 1.0))}
        answers, given = self.kind.decided(rows), self.kind.decided(taught)
        if answers is not None and given is not None:
            scores["agreement"] = total(answers == given, is_share=True)
        labels = targets.labels
        if self.kind.fits(rows, labels):
            scores["loss"] = total(self.kind.loss(rows, labels))
            if answers is not None:
                scores["accuracy"] = total(answers == labels.reshape(-1), is_share=True)
        return scores

    def scores(
        self,
        model: nn.Module,
        examples: Examples,
        precision: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> dict[str, float]:
        """Return the scores, and those of the user's function."""
        scores = super().scores(model, examples, precision)
        if self._score is None:
            return scores
        with torch.inference_mode(), precision():
            own = self._score(model, examples.pairs())
        if not isinstance(own, Mapping):
            raise RaynasError(f"score must return metrics by name, such as {{'rmse': 0.1}}, got {own!r}")
        return {**scores, **own}


def _mean(each: Tensor, counts: Tensor | None) -> Tensor:
    return each.mean() if counts is None else (each * counts).sum() / counts.sum().clamp_min(1)
