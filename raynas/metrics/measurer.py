"""Measurer: the one path on which metrics of an architecture are measured, in the driver, in trials and in bulk."""

import math
from collections.abc import Callable, Iterable
from contextlib import ExitStack, nullcontext
from functools import cached_property, partial

import torch
from torch import nn

from raynas.accelerators import is_available
from raynas.core.architecture import Architecture
from raynas.core.measurement import Measured, Provenance, as_float
from raynas.core.metric import Candidate, Metric, Needs
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.isolation import isolated
from raynas.metrics.cost import MetaModels
from raynas.metrics.table import METRICS
from raynas.metrics.zero_cost import Batch, Scores
from raynas.metrics.zero_cost.by_name import ProxyMeasure, fresh_network, proxy_scores
from raynas.seeds import seed_of
from raynas.threads import limited_threads

_LACKS = {
    None: "cannot be measured: only a trial reports it",
    "data": "needs a batch of images and labels: give one, or score with ZeroCost(data=...)",
    "device": "is measured on a GPU, and this process sees none",
}
"""The reasons why a metric cannot be measured, by what it needs."""

META, CPU = torch.device("meta"), torch.device("cpu")


class Measurer:
    """Measures metrics of the architectures of a space.

    Metrics measured of one architecture after another share its network, and zero-cost proxies share their passes.
    Parameters and multiply-adds are added instead of counted where that is exact, see ``MetaModels``.

    Args:
        space: gives the networks.
        device: of metrics that need the device of the trials.
        n_threads: CPU threads of these.
        seed: of weights and of everything else that is random, together with the architecture.
        batch: draws a batch of training data; None if there is none.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        device: str | torch.device = "cpu",
        n_threads: int = 1,
        seed: int = 0,
        batch: Callable[[], Batch] | None = None,
    ) -> None:
        self._given, self.device, self.n_threads = space, torch.device(device), n_threads
        self.seed, self.batch = seed, batch
        self.forget()

    @cached_property
    def space(self) -> SearchSpace:
        """The space of the networks."""
        return self._given

    @cached_property
    def models(self) -> MetaModels:
        """The networks without values, and the counts of their parameters and multiply-adds."""
        return MetaModels(self.space)

    def forget(self) -> None:
        """Drop the networks and scores of the last architecture."""
        self._arch: Architecture | None = None
        self._networks: dict[torch.device, nn.Module] = {}
        self._scores: tuple[frozenset[str], Scores] = (frozenset(), Scores())

    def offers(self, metric: Metric) -> bool:
        """Return True if a metric can be measured in this process."""
        if metric.measure is None:
            return False
        if metric.needs == "device":
            return is_available(self.device.type)
        return metric.needs != "data" or self.batch is not None

    def values(self, metrics: Iterable[Metric], arch: Architecture) -> dict[str, float]:
        """Return the values of several metrics, by name.

        Raises:
            RaynasError: if one is not a finite number.
        """
        metrics = list(metrics)
        return {metric.name: self.value(metric, arch, together=metrics) for metric in metrics}

    def value(self, metric: Metric, arch: Architecture, *, together: Iterable[Metric] = ()) -> float:
        """Return the value of a metric; whatever the measurement raises is raised.

        Args:
            metric: one that ``offers`` accepts.
            arch: the architecture, canonical.
            together: metrics that will be asked of the architecture too; zero-cost proxies among them are computed now.

        Raises:
            RaynasError: if the value is not a finite number.
        """
        if metric.measure is None:
            raise RaynasError(f"{metric.name} {_LACKS[None]}")
        # A measurement of the user's may switch gradients off, or change the default dtype.
        guard = nullcontext() if METRICS.get(metric.name) == metric else isolated()
        if metric.needs == "shapes":
            with guard:
                return _finite(metric, metric.measure(self.candidate(arch, "shapes")))
        with ExitStack() as stack, guard:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            if isinstance(metric.measure, ProxyMeasure):
                return self._proxy(metric.measure, arch, [m.measure for m in together])
            if metric.needs == "device":
                stack.enter_context(limited_threads(self.n_threads))
            torch.manual_seed(seed_of(self.seed, arch.key, metric.name))
            return _finite(metric, metric.measure(self.candidate(arch, metric.needs)))

    def functions(self, metrics: Iterable[Metric]) -> dict[str, Callable[[Architecture], float]]:
        """Return metrics that will all be asked of each architecture as functions of it, by name.

        Raises:
            RaynasError: if one cannot be measured here.
        """
        metrics = list(metrics)
        for metric in metrics:
            if not self.offers(metric):
                raise RaynasError(f"{metric.name} {_LACKS[metric.needs if metric.measure else None]}")
        return {metric.name: partial(self.value, metric, together=metrics) for metric in metrics}

    def costs(self, metrics: Iterable[Metric]) -> dict[str, Callable[[Architecture], float]]:
        """Return those of the metrics that can be measured here as functions of an architecture, by name."""
        return {metric.name: partial(self.value, metric) for metric in metrics if self.offers(metric)}

    def candidate(self, arch: Architecture, needs: Needs) -> Candidate:
        """Return an architecture as a measurement sees it."""
        device = {"shapes": META, "device": self.device}.get(needs, CPU)
        return Candidate(
            space=self.space,
            arch=arch,
            device=device,
            n_threads=self.n_threads,
            seed=self.seed,
            build=partial(self._network, arch, device),
            count=partial(self.models.count, arch),
            draw=self.batch,
        )

    def _network(self, arch: Architecture, device: torch.device) -> nn.Module:
        if device == META:
            return self.models(arch)
        self._turn_to(arch)
        if device not in self._networks:
            self._networks[device] = fresh_network(self.space, arch, self.seed).to(device)
        return self._networks[device]

    def _turn_to(self, arch: Architecture) -> None:
        if arch != self._arch:
            self.forget()
            self._arch = arch

    def _proxy(self, proxy: ProxyMeasure, arch: Architecture, together: Iterable[object]) -> float:
        """Return a zero-cost proxy's score, computed with all others that are wanted."""
        self._turn_to(arch)
        if proxy.name not in self._scores[0]:
            names = dict.fromkeys([proxy.name, *(other.name for other in together if isinstance(other, ProxyMeasure))])
            self._scores = frozenset(names), proxy_scores(self.candidate(arch, "data"), names)
        return self._scores[1].value_of(proxy.name)

    def __getstate__(self) -> dict[str, object]:
        # Networks need not travel.
        return {**vars(self), "_arch": None, "_networks": {}, "_scores": (frozenset(), Scores())}


def _finite(metric: Metric, value: float) -> float:
    if not math.isfinite(value):
        raise RaynasError(f"{metric.name} is {float(value)}, which is not a finite number")
    if metric.final and not isinstance(value, Measured):
        return Measured(value, Provenance())  # so that it is known to have been measured, not reported by a trial
    return as_float(value)
