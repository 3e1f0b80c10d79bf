"""Metrics of fresh networks on images that trials train on, such as zero-cost proxies, beside other scores."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, get_args

import numpy as np
import torch

from raynas.core.metric import Metric, Needs
from raynas.core.space import SearchSpace
from raynas.data.fit_space import fields_of, fit_space
from raynas.data.sources import Source
from raynas.errors import RaynasError
from raynas.metrics import METRICS, Batch, Measurer
from raynas.metrics.zero_cost.by_name import ProxyMeasure
from raynas.trials.runner import REPORTED
from raynas.trials.settings import ArchitectureSettings, Cost

if TYPE_CHECKING:
    from raynas.trials.training import Training

BATCH_SIZE = 64
"""How many images proxies look at, where nobody says."""


def first_batch(training: "Training", source: Source, batch_size: int, seed: int) -> Batch:
    """The batch that all architectures are looked at with: the first of an epoch, whole, without augmentation.

    Args:
        training: says how the data is split.
        source: the data.
        batch_size: how many images; loaders of the user's have their own size.
        seed: of the order.

    Raises:
        RaynasError: if it holds fewer than two images.
    """
    plain = replace(training.at_full_fidelity, augment="none", batch_size=batch_size)
    with torch.random.fork_rng(devices=[]):  # for samplers of the user's loaders
        torch.manual_seed(seed)
        images, labels = next(iter(plain.batches(source.without_test(), torch.device("cpu")).train(seed)))
    if len(images) < 2:
        raise RaynasError(f"{source.name} gives a first batch of {len(images)} image; proxies need at least 2")
    return Batch(images, labels)


class HeldBatch:
    """A batch as arrays, which travel through Ray's object store without a copy; call it for the batch.

    Args:
        batch: on the CPU.
    """

    def __init__(self, batch: Batch) -> None:
        self.images, self.labels = (np.asarray(part.permute(0, 2, 3, 1) if part.ndim == 4 else part) for part in batch)

    def __call__(self) -> Batch:
        """The batch; a copy, as arrays from the object store must not be written to, and torch warns of them."""
        images, labels = torch.tensor(self.images), torch.tensor(self.labels)
        return Batch(images.permute(0, 3, 1, 2) if images.ndim == 4 else images, labels)


def batch_for(metrics: Iterable[Metric | str], draw: Callable[[], Batch]) -> HeldBatch | None:
    """Draw the batch that metrics are measured with; None if none of them looks at one.

    Zero-cost proxies that can do without look at it too, so that all see inputs of the same shape.
    """
    for metric in metrics:
        known = METRICS.get(metric) if isinstance(metric, str) else metric
        if known and known.measure and (known.needs == "data" or isinstance(known.measure, ProxyMeasure)):
            return HeldBatch(draw())
    return None


class DataMeasurer(Measurer):
    """Measures the networks as they are for a data set, which is read when it is needed.

    Args:
        training: names the data.
        space: may be for images of another shape, if that can be changed.
        device: of metrics that need the device of the trials.
        n_threads: CPU threads of these.
        seed: of the weights and the batch.
    """

    def __init__(self, training: "Training", space: SearchSpace, *, device: str, n_threads: int, seed: int) -> None:
        super().__init__(space, device=device, n_threads=n_threads, seed=seed, batch=self._draw)
        self._training = training

    @cached_property
    def space(self) -> SearchSpace:
        """The space of the networks, fitted to the data where its networks depend on it."""
        depends = {"input_shape", "n_classes"} & set(fields_of(self._given))
        return fit_space(self._given, self._source) if depends else self._given

    @cached_property
    def _source(self) -> Source:
        return self._training.load_source()

    @cached_property
    def _held(self) -> HeldBatch:
        fit_space(self._given, self._source)  # refuses images that the networks cannot take
        return HeldBatch(first_batch(self._training, self._source, BATCH_SIZE, self.seed))

    def _draw(self) -> Batch:
        return self._held()

    def __getstate__(self) -> dict[str, object]:
        read = ("_source", "_held", "space", "models")
        return {name: value for name, value in super().__getstate__().items() if name not in read}


@dataclass(frozen=True, kw_only=True)
class DataSettings(ArchitectureSettings):
    """Settings of trials that report scores on a data set, and zero-cost proxies where they are asked for."""

    measures: ClassVar[frozenset[Needs]] = frozenset(get_args(Needs))

    @abstractmethod
    def data_settings(self) -> "Training":
        """How the data is read and split."""

    @property
    def reports(self) -> frozenset[str] | None:
        """Accuracy, loss, time and memory."""
        return frozenset(("accuracy", "loss")) | REPORTED

    def costs(self, space: SearchSpace, metrics: Mapping[str, Metric] = METRICS) -> dict[str, Cost]:
        """As trials measure them; zero-cost proxies too, of fresh weights and of images that trials train on."""
        return data_measurer(self, self.data_settings(), space).costs(metrics.values())


def data_measurer(settings: ArchitectureSettings, training: "Training", space: SearchSpace) -> DataMeasurer:
    """Return what measures the networks of a space as the trials of these settings do."""
    device = "cuda" if settings.uses_gpu else "cpu"
    return DataMeasurer(training, space, device=device, n_threads=settings.latency_threads, seed=settings.seed)
