"""DataMeasurer: measures the networks of a space as they are for a data set."""

from functools import cached_property
from typing import TYPE_CHECKING

from raynas.core.space import SearchSpace
from raynas.data.fit_space import fields_of, fit_source, fit_space
from raynas.data.sources import Source
from raynas.metrics import Batch, Measurer
from raynas.trials.data_batch import BATCH_SIZE, HeldBatch, first_batch
from raynas.trials.settings import ArchitectureSettings

if TYPE_CHECKING:
    from raynas.trials.gradient_training import GradientTraining


class DataMeasurer(Measurer):
    """Measures the networks of a space fitted to a data set, which is read on first use.

    Args:
        training: has the settings of the data.
        space: the space; may have another input shape, if that can be changed.
        device: device of metrics that need that of the trials.
        n_threads: CPU threads of these.
        seed: seed of the weights and the batch.
    """

    def __init__(
        self, training: "GradientTraining", space: SearchSpace, *, device: str, n_threads: int, seed: int
    ) -> None:
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
        source = fit_source(self._source, self.space)
        return HeldBatch(first_batch(self._training, source, BATCH_SIZE, self.seed))

    def _draw(self) -> Batch:
        return self._held()

    def __getstate__(self) -> dict[str, object]:
        read = ("_source", "_held", "space", "models")
        return {name: value for name, value in super().__getstate__().items() if name not in read}


def data_measurer(settings: ArchitectureSettings, training: "GradientTraining", space: SearchSpace) -> DataMeasurer:
    """Return what measures the networks of a space as the trials of these settings do."""
    return DataMeasurer(
        training, space, device=settings.device_type, n_threads=settings.latency_threads, seed=settings.seed
    )
