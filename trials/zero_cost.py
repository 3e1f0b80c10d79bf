"""ZeroCost: scores an architecture at initialisation, by zero-cost proxies on one batch of training images."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, get_args

import numpy as np

from raynas.core.architecture import Architecture
from raynas.core.goal import Goal
from raynas.core.metric import Metric, Needs
from raynas.core.space import SearchSpace
from raynas.data.fit_space import check_network, fit_source, fit_space
from raynas.data.sources import Source
from raynas.errors import RaynasError, UnknownNameError
from raynas.metrics import METRICS, Metrics
from raynas.metrics.zero_cost import ENSEMBLE, ZERO_COST, Batch, RankEnsemble, zero_cost_scores
from raynas.metrics.zero_cost.by_name import fresh_network
from raynas.trials.data_batch import BATCH_SIZE, first_batch
from raynas.trials.data_measurer import data_measurer
from raynas.trials.proxy_scorer import ENSEMBLE_KEY, LazyProxies, ProxyScorer
from raynas.trials.runner import REPORTED, TrialRunner
from raynas.trials.settings import ArchitectureSettings, Cost, refuse_all
from raynas.trials.training import Training
from raynas.trials.trial import Trial
from raynas.validate import require, require_whole

_PROXIES = frozenset(name for name, metric in METRICS.items() if metric.needs in ("weights", "data"))
"""Zero-cost proxies that are no costs, and their ensemble."""


@dataclass(frozen=True, kw_only=True)
class ZeroCost(ArchitectureSettings):
    """Score each architecture by zero-cost proxies, without any training.

    Every result holds a metric for each proxy, larger is better; search with ``objectives="max:naswot"``. Proxies that
    objectives and constraints name need not be listed. There is no ``accuracy``.

    The metric "ensemble" is the mean rank among reference architectures, drawn from the space by the seed and scored
    once, before the search begins.

    Args:
        proxies: keys of ``raynas.metrics.zero_cost.ZERO_COST``, or "ensemble", to compute besides those of objectives
            and constraints; if none is named anywhere, the proxies of the ensemble.
        data: see ``Training``.
        data_dir: folder of downloads.
        image_size: height and width that the images of ``folder:PATH`` and ``shards:PATH`` are resized to, in pixels.
        valid_share: share of the training images held out for validation, which proxies do not use.
        batch_size: number of images in the batch; loaders of your own have their own size.
        ensemble: the proxies of the ensemble.
        n_reference: number of reference architectures of the ensemble.
        bulk: number of architectures proposed at a time, for a few long-lived actors; 0 for a Tune trial each.

    Raises:
        ValueError: if a value is out of range.
        UnknownNameError: if a proxy is unknown.
    """

    proxies: Sequence[str] = ()
    data: str = "digits"
    data_dir: str = "~/.cache/raynas"
    image_size: int = 64
    valid_share: float = 0.2
    batch_size: int = BATCH_SIZE
    ensemble: Sequence[str] = ENSEMBLE
    n_reference: int = 32
    bulk: int = 16

    measures: ClassVar[frozenset[Needs]] = frozenset(get_args(Needs))

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("proxies", "ensemble"):
            value = getattr(self, name)
            require(not isinstance(value, str), f"{name} must be a sequence of names", value)
            object.__setattr__(self, name, tuple(value))
        for proxy in self.proxies:
            if proxy not in ZERO_COST and proxy != ENSEMBLE_KEY:
                raise UnknownNameError("zero-cost proxy", str(proxy), [*ZERO_COST, ENSEMBLE_KEY])
        for proxy in self.ensemble:
            if proxy not in ZERO_COST:
                raise UnknownNameError("zero-cost proxy", str(proxy), ZERO_COST)
        require(len(self.ensemble) > 0, "ensemble must name at least one proxy", self.ensemble)
        require_whole("batch_size", self.batch_size, 2)
        require_whole("n_reference", self.n_reference, 2)
        require_whole("bulk", self.bulk, 0)
        self._training()

    @property
    def bulk_size(self) -> int:
        return self.bulk

    def check_hyperparameters(self, names: Iterable[str]) -> None:
        """Refuse all: nothing is trained.

        Raises:
            UnknownNameError: if there is any.
        """
        refuse_all("hyperparameter of zero-cost proxies, which do not train:", names)

    def runner(self, space: SearchSpace, metrics: Metrics = ()) -> "TrialRunner[ZeroCostTrial]":
        """Return what scores architectures of ``space`` in this process; the batch is drawn once.

        Raises:
            RaynasError: if a metric is wanted that no proxy gives, or the ensemble's reference cannot be scored.
        """
        scorer = self.scorer(space, metrics)
        return TrialRunner(scorer.space, self, partial(ZeroCostTrial, scorer=scorer), metrics, batch=scorer.batch)

    def scorer(self, space: SearchSpace, metrics: Iterable[Metric | str] = ()) -> ProxyScorer:
        """Return what computes the proxies; the batch is drawn here.

        Args:
            space: the space of the architectures, fitted to the data if it can be.
            metrics: names of any metrics; the proxies among them are computed besides ``proxies``.

        Raises:
            RaynasError: if a metric is wanted that no proxy gives, or the ensemble's reference cannot be scored.
        """
        inner = space.architecture_space
        names = self._names(metrics)
        source = self._training().load_source()
        inner = fit_space(inner, source)
        source = fit_source(source, inner)
        check_network(inner, source)
        batch = self.batch_of(source)
        reference = self._reference(inner, batch) if ENSEMBLE_KEY in names else None
        return ProxyScorer(self, inner, names, batch, reference)

    @property
    def reports(self) -> frozenset[str] | None:
        """Zero-cost proxies and their ensemble."""
        return _PROXIES | REPORTED

    def costs(self, space: SearchSpace, metrics: Mapping[str, Metric] = METRICS) -> dict[str, Cost]:
        """Return the metrics as trials measure them; hard constraints on proxies refuse before a trial."""
        proxies = LazyProxies(self, space)
        costs = data_measurer(self, self._training(), space).costs(metrics.values())
        return {**costs, **{name: partial(proxies.score, name) for name in _PROXIES}}

    def check_goal(self, goal: Goal) -> None:
        """Refuse a metric that is no proxy and cannot be measured.

        Raises:
            RaynasError: if there is such a metric.
        """
        self._names([goal.metrics.get(name, name) for name in goal.asked])

    def batch_of(self, source: Source) -> Batch:
        """Return the batch that all architectures are scored on: the first of an epoch, without augmentation.

        Raises:
            RaynasError: if it holds fewer than two images.
        """
        return first_batch(self._training(), source, self.batch_size, self.seed)

    def _training(self) -> Training:
        return Training(
            data=self.data,
            data_dir=self.data_dir,
            image_size=self.image_size,
            valid_share=self.valid_share,
            batch_size=self.batch_size,
            augment="none",
        )

    def _names(self, metrics: Iterable[Metric | str]) -> tuple[str, ...]:
        """Return the proxies to compute."""
        names = dict.fromkeys(self.proxies)
        for metric in metrics:
            name = metric if isinstance(metric, str) else metric.name
            known = METRICS.get(metric) if isinstance(metric, str) else metric
            if name in _PROXIES:
                names[name] = None
            elif known is None:
                raise UnknownNameError("metric", name, _PROXIES | {n for n, m in METRICS.items() if m.measure})
            elif known.measure is None and name not in REPORTED:
                raise RaynasError(
                    f"metric {name!r} is wanted, but zero-cost proxies give {', '.join(ZERO_COST)} and {ENSEMBLE_KEY}: "
                    "search for one of them, e.g. objectives='max:naswot'"
                )
        return tuple(names) or tuple(self.ensemble)

    def _reference(self, space: SearchSpace, batch: Batch) -> RankEnsemble:
        rng = np.random.default_rng(self.seed)
        archs = [space.canonical(space.sample(rng)) for _ in range(self.n_reference)]
        scores = [
            zero_cost_scores(fresh_network(space, arch, self.seed), batch, self.ensemble, seed=self.seed)
            for arch in archs
        ]
        try:
            return RankEnsemble({name: [each.values.get(name) for each in scores] for name in self.ensemble})
        except ValueError as error:
            raise RaynasError(f"no reference for the ensemble: {error}") from error


class ZeroCostTrial(Trial[ZeroCost]):
    """Scores one architecture at initialisation.

    Args:
        space: the space of the architecture.
        settings: settings of the trials.
        scorer: computes the proxies, on the images of all trials.
    """

    def __init__(self, space: SearchSpace, settings: ZeroCost, *, scorer: ProxyScorer) -> None:
        super().__init__(space, settings)
        self.scorer = scorer

    def start(self, arch: Architecture, hyperparameters: Mapping[str, object]) -> None:
        """Build the network."""
        self.settings.check_hyperparameters(hyperparameters)
        self.model = self.scorer.network(arch)

    def advance(self) -> Mapping[str, float]:
        """Compute all proxies together."""
        return self.scorer.scores(self.model, self.scorer.names)
