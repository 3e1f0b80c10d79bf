"""Checks of the batches that loaders of the user's give."""

from typing import Any

from torch import Tensor

from raynas.core.inputs import Arguments
from raynas.data.batches import Batch
from raynas.errors import DataError


def checked_pair(batch: object, where: str) -> Batch:
    """Return a batch of inputs and one label for each example.

    Raises:
        DataError: if it is none; ``where`` names it.
    """
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise DataError(f"{where} must be a pair (inputs, labels), got {kind_of(batch)}")
    inputs, labels = batch
    tensors = Arguments.of(inputs).tensors
    if not tensors or not isinstance(labels, Tensor):
        raise DataError(f"{where} must hold tensors, got {kind_of(inputs)} and {kind_of(labels)}")
    if labels.ndim != 1 or len(labels) != Arguments.of(inputs).n_examples or labels.is_floating_point():
        raise DataError(
            f"{where} must hold one whole-number label per example, got labels of shape {tuple(labels.shape)} and type "
            f"{labels.dtype} for inputs of shape {', '.join(str(tuple(tensor.shape)) for tensor in tensors)}"
        )
    return inputs, labels.long()


def checked_targets(batch: object, where: str) -> Batch:
    """Return inputs and targets of any structure; None where a batch is inputs alone.

    Raises:
        DataError: if there are no inputs; ``where`` names the batch.
    """
    inputs: Any = batch
    targets = None
    if isinstance(batch, tuple | list) and 0 < len(batch) <= 2:
        inputs, targets = (*batch, None)[:2]
    elif isinstance(batch, tuple | list):
        rule = "must be inputs or a pair (inputs, targets); several inputs are a tuple or a mapping in it"
        raise DataError(f"{where} {rule}, got {kind_of(batch)}")
    if not Arguments.of(inputs).tensors:
        raise DataError(f"{where} must hold tensors, got {kind_of(inputs)}")
    return inputs, targets


def check_label_range(labels: Tensor, n_classes: int, where: str) -> None:
    """Refuse labels that a network with ``n_classes`` outputs cannot learn.

    Raises:
        DataError: if there are any; ``where`` names the batch.
    """
    low, high = (int(end) for end in labels.aminmax()) if len(labels) else (0, 0)
    if low < 0 or high >= n_classes:
        raise DataError(
            f"{where} holds label {low if low < 0 else high}, but labels of {n_classes} classes must be 0 to "
            f"{n_classes - 1}: number them from 0, or give the networks as many outputs as there are classes"
        )


def kind_of(value: object) -> str:
    """Return the type of a value, and the length of a list, for messages."""
    name = type(value).__name__
    return f"a {name} of {len(value)}" if isinstance(value, tuple | list) else f"a {name}"
