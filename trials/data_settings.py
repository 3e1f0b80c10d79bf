"""DataSettings: settings of trials that report scores on a data set."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, get_args

from raynas.core.metric import Metric, Needs
from raynas.core.space import SearchSpace
from raynas.data.sources import Source
from raynas.metrics import METRICS
from raynas.trials.data_measurer import data_measurer
from raynas.trials.runner import REPORTED
from raynas.trials.settings import ArchitectureSettings, Cost

if TYPE_CHECKING:
    from raynas.trials.gradient_training import GradientTraining


@dataclass(frozen=True, kw_only=True)
class DataSettings(ArchitectureSettings):
    """Settings of trials that report scores on a data set, and zero-cost proxies where they are asked for."""

    measures: ClassVar[frozenset[Needs]] = frozenset(get_args(Needs))

    @abstractmethod
    def data_settings(self) -> "GradientTraining":
        """Return the settings of a training on the same data."""

    def source_of_trials(self) -> Source:
        """Return the data at the fidelity of trials.

        Raises:
            RaynasError: if the data cannot be loaded.
        """
        training = self.data_settings()
        return training.load_source().reduced(training.data_fraction, training.resolution)

    @property
    def reports(self) -> frozenset[str] | None:
        """Accuracy, loss, time and memory."""
        return frozenset(("accuracy", "loss")) | REPORTED

    def costs(self, space: SearchSpace, metrics: Mapping[str, Metric] = METRICS) -> dict[str, Cost]:
        """Return the metrics as trials measure them, on images that trials train on."""
        return data_measurer(self, self.data_settings(), space).costs(metrics.values())
