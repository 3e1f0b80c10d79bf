"""score_many(): scores of many architectures, by a few actors or in this process."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from raynas.core.architecture import Architecture, Config, Option
from raynas.core.evaluation import Evaluation, Status, metrics_of
from raynas.core.measurement import as_entry
from raynas.core.metric import Metric
from raynas.core.outcome import Result, fidelity_of
from raynas.core.space import SearchSpace
from raynas.errors import one_line
from raynas.metrics import Measurer, Metrics, metrics_named
from raynas.metrics.table import COUNTED
from raynas.run.actor_pool import ActorPool, failed_result
from raynas.trials.function import Function
from raynas.trials.settings import ArchitectureSettings, TrialSettings


def score_many(
    space: SearchSpace,
    archs: Iterable[Mapping[str, Option]],
    score: "ArchitectureSettings | Metric | str | Metrics | Callable[..., Any]",
    *,
    metrics: Metrics = (),
    workers: int | None = None,
) -> Iterator[Evaluation]:
    """Score architectures in bulk, in their order; evaluations of those that fail say so.

    Each actor keeps what scoring needs (a supernet, data) from one architecture to the next; arrays are in Ray's object
    store, once per node. The score of an architecture does not depend on the number of workers.

    Args:
        space: the space of the architectures.
        archs: any number; taken as they are needed.
        score: settings such as ``Subnet(...)``, metrics that need no training or their names (``["params", "macs"]``),
            or a function ``fn(model, config)``.
        metrics: metrics to measure besides, or their names.
        workers: number of actors; None for as many as the cluster has room for, or for none where scoring takes less
            time than sending; 0 to score in this process.

    Raises:
        RaynasError: if settings and space do not fit together.
        UnknownNameError: if a metric's name is unknown.
    """
    with pool_for(space, score, metrics, workers=workers) as pool:
        points = deque[Architecture]()

        def configs() -> Iterator[Config]:
            for arch in archs:
                points.append(space.canonical(arch))
                yield space.to_config(points[-1])

        for n, result in enumerate(pool.results(configs()), 1):
            yield _evaluation(points.popleft(), result, f"{n:05d}")


def pool_for(
    space: SearchSpace,
    score: "TrialSettings | Metric | str | Metrics | Callable[..., Any]",
    metrics: Metrics = (),
    *,
    counted: Collection[str] = (),
    workers: int | None = None,
    max_seconds: float | None = None,
) -> ActorPool:
    """Make the pool that computes a score; see ``score_many``.

    Args:
        space: the space of the architectures.
        score: as in ``score_many``.
        metrics: metrics that every result must hold, or their names.
        counted: names of metrics to measure besides, where they can be.
        workers: as in ``score_many``.
        max_seconds: time of an architecture after which it has failed, unless it is scored in this process.

    Raises:
        TypeError: if the settings are of trials that do not score one architecture each.
    """
    if isinstance(score, Metric | str | Sequence):
        listed = [score] if isinstance(score, Metric | str) else list(score)
        scorer = UntrainedScorer(space, [*listed, *metrics])
        return ActorPool(scorer, {"cpu": 1}, workers, stays_here=lambda: workers is None and scorer.is_cheap)
    settings = score if isinstance(score, TrialSettings) else Function(fn=score)
    if not isinstance(settings, ArchitectureSettings):
        raise TypeError(f"only settings of trials that score one architecture each can do so in bulk, got {settings!r}")
    runner = settings.runner(space, metrics)
    runner.costs.counted = counted
    return ActorPool(runner, settings.bundles, workers, max_seconds=max_seconds)


class UntrainedScorer:
    """Scores by metrics that need no training.

    Args:
        space: the space of the architectures.
        metrics: the metrics, or their names.

    Raises:
        RaynasError: if one cannot be measured here.
        UnknownNameError: if a name is unknown.
    """

    def __init__(self, space: SearchSpace, metrics: Metrics) -> None:
        self._metrics = metrics_named(metrics)
        self._measurer = Measurer(space)
        self._measurer.functions(self._metrics)  # refuses those that cannot be measured

    @property
    def is_cheap(self) -> bool:
        """True if scoring takes a few milliseconds at most, or may turn out to after a few more architectures."""
        names = [metric.name for metric in self._metrics]
        return all(name in COUNTED and self._measurer.models.is_cheap(name) is not False for name in names)

    def run(self, config: Config) -> Result:
        """Compute the metrics; a failure is a result too."""
        status = {"training_iteration": 1, "complete": 1, "failed": 0, "error": ""}
        try:
            arch = Architecture.from_config(config)  # Canonical, as all that is scored in bulk is.
            values = self._measurer.values(self._metrics, arch)
            return {**values, **as_entry(values), **status}
        except Exception as error:
            return failed_result(one_line(error))


def _evaluation(arch: Architecture, result: Result, trial: str) -> Evaluation:
    status: Status = "failed" if result["failed"] else "finished"
    return Evaluation(arch, metrics_of(result), fidelity_of(result), status, trial, result["error"])
