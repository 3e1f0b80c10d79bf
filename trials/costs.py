"""Costs: metrics of an architecture that are measured before its trial starts."""

import logging
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from raynas.core.architecture import Architecture
from raynas.core.metric import Metric
from raynas.core.space import SearchSpace
from raynas.errors import one_line
from raynas.metrics import METRICS, Batch, Measurer, Metrics, metrics_named
from raynas.metrics.table import COUNTED

if TYPE_CHECKING:
    from raynas.trials.settings import ArchitectureSettings

logger = logging.getLogger(__name__)


class Costs:
    """Measures architectures on separate networks, as the space builds them, whatever the fidelity of the trial.

    Args:
        space: gives the networks.
        settings: those of the trials.
        metrics: metrics that results must hold, or their names; those that trials do not report are measured.
        batch: draws the training data to measure with; None if there is none.
        counted: names of the metrics to measure in any case, where they can be.
    """

    def __init__(
        self,
        space: SearchSpace,
        settings: "ArchitectureSettings",
        metrics: Metrics,
        batch: Callable[[], Batch] | None = None,
        counted: Collection[str] = COUNTED,
    ) -> None:
        self.space, self.settings, self.batch, self.counted = space, settings, batch, counted
        self._wanted = tuple(metrics)
        self._names = frozenset(metric if isinstance(metric, str) else metric.name for metric in metrics)
        self._unmeasured: set[str] = set()
        self._measurer: Measurer | None = None

    @property
    def metrics(self) -> list[Metric]:
        """The metrics that are measured."""
        reported = self.settings.reports or frozenset()
        known = [METRICS.get(metric) if isinstance(metric, str) else metric for metric in self._wanted]
        wanted = {metric.name: metric for metric in (*metrics_named(self.counted), *known) if metric}
        return [
            metric
            for name, metric in wanted.items()
            if metric.measure and metric.needs in self.settings.measures and name not in reported
        ]

    def measure(self, metrics: Sequence[Metric], arch: Architecture) -> dict[str, float]:
        """Return the values of metrics, by name; those that cannot be measured and nobody asked for are left out."""
        measurer = self._measurer_here()
        values: dict[str, float] = {}
        for metric in metrics:
            try:
                values[metric.name] = measurer.value(metric, arch, together=metrics)
            except Exception as error:
                if metric.name in self._names or metric.name == "params":  # Parameters of any network can be counted.
                    raise
                if metric.name not in self._unmeasured:  # said once: the next architectures will be alike
                    logger.warning("%s of %s cannot be measured: %s", metric.name, arch.key, one_line(error))
                self._unmeasured.add(metric.name)
        measurer.forget()
        return values

    def _measurer_here(self) -> Measurer:
        """Return the measurer of this process, which is kept: it learns to add costs instead of counting them."""
        settings, device = self.settings, self.settings.torch_device
        if self._measurer is None or self._measurer.device != device:
            n_threads, seed = settings.latency_threads, settings.seed
            self._measurer = Measurer(self.space, device=device, n_threads=n_threads, seed=seed, batch=self.batch)
        return self._measurer
