"""The batch of training data that metrics of fresh networks are measured with."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from raynas.core.inputs import Arguments, mapped
from raynas.core.metric import Metric
from raynas.data.sources import Source
from raynas.errors import RaynasError
from raynas.metrics import METRICS, Batch
from raynas.metrics.zero_cost.by_name import ProxyMeasure

if TYPE_CHECKING:
    from raynas.trials.gradient_training import GradientTraining

BATCH_SIZE = 64
"""Default number of images that proxies are computed on."""


def first_batch(
    training: "GradientTraining", source: Source, batch_size: int, seed: int, *, labelled: bool = True
) -> Batch:
    """Return the batch that all architectures are measured with: the first of an epoch, without augmentation.

    Args:
        training: has the settings of the data.
        source: the data.
        batch_size: number of examples; loaders of the user's have their own size.
        seed: seed of the order.
        labelled: False where no metric looks at labels, which are then zeros unless there is one for each example.

    Raises:
        RaynasError: if it holds fewer than two examples, or lacks labels that are needed.
    """
    plain = replace(training.at_full_fidelity, augment="none", batch_size=batch_size)
    with torch.random.fork_rng(devices=[]):  # for samplers of the user's loaders
        torch.manual_seed(seed)
        inputs, labels = next(iter(plain.batches(source.without_test(), torch.device("cpu")).train(seed)))
    if not isinstance(labels, Tensor) or labels.ndim != 1 or labels.is_floating_point():
        if not labelled:
            return Batch(inputs, torch.zeros(Arguments.of(inputs).n_examples, dtype=torch.long))
        raise RaynasError(
            f"{source.name} has no label for each example, which proxies that need data are computed with"
        )
    if len(labels) < 2:
        raise RaynasError(f"{source.name} gives a first batch of {len(labels)} example; proxies need at least 2")
    return Batch(inputs, labels)


class HeldBatch:
    """A batch as arrays, which travel through Ray's object store without a copy; a call returns the batch.

    Args:
        batch: the batch, on the CPU.
    """

    def __init__(self, batch: Batch) -> None:
        self.inputs, self.labels = mapped(batch.inputs, _array), np.asarray(batch.labels)

    def __call__(self) -> Batch:
        """Return a copy of the batch: arrays from the object store must not be written to, and torch warns of them."""
        return Batch(mapped(self.inputs, _tensor), torch.tensor(self.labels))


def _array(leaf: Any) -> Any:
    """Return a tensor as an array, images with their channels last, as they are in memory."""
    if not isinstance(leaf, Tensor):
        return leaf
    return np.asarray(leaf.permute(0, 2, 3, 1) if leaf.ndim == 4 else leaf)


def _tensor(leaf: Any) -> Any:
    if not isinstance(leaf, np.ndarray):
        return leaf
    tensor = torch.tensor(leaf)
    return tensor.permute(0, 3, 1, 2) if tensor.ndim == 4 else tensor


def batch_for(metrics: Iterable[Metric | str], draw: Callable[[], Batch]) -> HeldBatch | None:
    """Draw the batch that metrics are measured with; return None if none of them needs one.

    Zero-cost proxies that need none are computed on it too, so that all have inputs of the same shape.
    """
    for metric in metrics:
        known = METRICS.get(metric) if isinstance(metric, str) else metric
        if known and known.measure and (known.needs == "data" or isinstance(known.measure, ProxyMeasure)):
            return HeldBatch(draw())
    return None
