"""Zero-cost proxies beside other scores: of fresh networks, on images that trials train on."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.data.fit_space import fields_of, fit_space
from raynas.data.sources import Source
from raynas.errors import RaynasError, UnknownNameError
from raynas.metrics import METRICS, ZERO_COST, Batch, untrained_metrics
from raynas.trials.settings import ArchitectureSettings

if TYPE_CHECKING:
    from raynas.trials.training import Training

Metric = Callable[[Architecture], float]

PROXIES = frozenset(name for name, metric in METRICS.items() if metric.needs in ("weights", "data")) | {"ensemble"}
"""The zero-cost proxies that are no costs."""

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


def wanted_proxies(
    space: SearchSpace, metrics: Iterable[str], seed: int, batch: Callable[[], Batch] | None = None
) -> dict[str, Metric]:
    """The proxies among the metrics that are wanted, computed together.

    Args:
        space: fitted to the data.
        metrics: names of any metrics.
        seed: of the weights.
        batch: draws the images; None if there are none, and proxies that need some are left out.
    """
    names = [n for n in metrics if n in PROXIES and n in ZERO_COST and (batch or not ZERO_COST[n].needs_data)]
    return untrained_metrics(space, names, batch=HeldBatch(batch()) if batch else None, seed=seed) if names else {}


class DataCosts:
    """Metrics before training, of the networks as they are for a data set, which is read when it is needed.

    Args:
        training: names the data.
        space: may be for images of another shape, if that can be changed.
        costs: gives the metrics of a space that need no data.
        seed: of the weights and the batch that proxies see.
    """

    def __init__(
        self, training: "Training", space: SearchSpace, costs: Callable[[SearchSpace], Mapping[str, Metric]], seed: int
    ) -> None:
        self._training, self._space, self._costs_of, self._seed = training, space, costs, seed

    def all(self) -> dict[str, Metric]:
        """The metrics by name."""
        names = dict.fromkeys((*self._costs_of(self._space), *ZERO_COST))
        return {name: partial(self.measure, name) for name in names}

    def measure(self, name: str, arch: Architecture) -> float:
        """One of the metrics.

        Raises:
            RaynasError: if there is no data, or the metric cannot be computed.
        """
        return (self._proxies if name in PROXIES else self._costs)[name](arch)

    @cached_property
    def _source(self) -> Source:
        return self._training.load_source()

    @cached_property
    def _costs(self) -> Mapping[str, Metric]:
        depends = {"input_shape", "n_classes"} & set(fields_of(self._space))
        return self._costs_of(fit_space(self._space, self._source) if depends else self._space)

    @cached_property
    def _proxies(self) -> Mapping[str, Metric]:
        batch = HeldBatch(first_batch(self._training, self._source, BATCH_SIZE, self._seed))
        return untrained_metrics(fit_space(self._space, self._source), batch=batch, seed=self._seed)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name not in ("_source", "_costs", "_proxies")}


@dataclass(frozen=True, kw_only=True)
class DataSettings(ArchitectureSettings):
    """Settings of trials that report scores on a data set, and zero-cost proxies where they are asked for."""

    @abstractmethod
    def data_settings(self) -> "Training":
        """How the data is read and split."""

    def costs(self, space: SearchSpace) -> dict[str, Metric]:
        """As trials measure them; zero-cost proxies too, of fresh weights and of images that trials train on."""
        # A bound method of super() would be pickled as this one.
        return DataCosts(self.data_settings(), space, partial(ArchitectureSettings.costs, self), self.seed).all()

    def check_metrics(self, names: Iterable[str]) -> None:
        """Refuse what is neither reported nor a proxy of one network.

        Raises:
            UnknownNameError: if there is such a name.
        """
        known = METRICS.keys() - {"ensemble"}
        for name in names:
            if name not in known:
                raise UnknownNameError("metric", name, known)
