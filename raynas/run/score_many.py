"""score_many(): scores of many architectures, by a few actors or in this process."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from raynas.core.architecture import Architecture, Option
from raynas.core.evaluation import Evaluation, Status, metrics_of
from raynas.core.outcome import Result, fidelity_of
from raynas.core.space import SearchSpace
from raynas.errors import UnknownNameError, one_line
from raynas.metrics import METRICS, Measurer
from raynas.metrics.table import COUNTED
from raynas.run.actor_pool import ActorPool, Config, failed_result
from raynas.trials.function import Function
from raynas.trials.settings import ArchitectureSettings, TrialSettings


def score_many(
    space: SearchSpace,
    archs: Iterable[Mapping[str, Option]],
    score: "ArchitectureSettings | str | Sequence[str] | Callable[..., Any]",
    *,
    workers: int | None = None,
) -> Iterator[Evaluation]:
    """Score architectures in bulk, in their order; evaluations of those that fail say so.

    Each actor keeps what scoring needs (a supernet, data) from one architecture to the next; arrays are in Ray's object
    store, once per node. The score of an architecture does not depend on the number of workers.

    Args:
        space: the space of the architectures.
        archs: any number; taken as they are needed.
        score: settings such as ``Subnet(...)``, names of metrics that need no training (``["params", "macs"]``), or a
            function ``fn(model, config)``.
        workers: number of actors; None for as many as the cluster has room for, or for none where scoring takes less
            time than sending; 0 to score in this process.

    Raises:
        RaynasError: if settings and space do not fit together.
        UnknownNameError: if a metric's name is unknown.
    """
    with pool_for(space, score, workers=workers) as pool:
        points = deque[Architecture]()

        def configs() -> Iterator[Config]:
            for arch in archs:
                points.append(space.canonical(arch))
                yield space.to_config(points[-1])

        for n, result in enumerate(pool.results(configs()), 1):
            yield _evaluation(points.popleft(), result, f"{n:05d}")


def pool_for(
    space: SearchSpace,
    score: "TrialSettings | str | Sequence[str] | Callable[..., Any]",
    metrics: Sequence[str] = (),
    *,
    measured: Iterable[str] = (),
    workers: int | None = None,
) -> ActorPool:
    """Make the pool that computes a score; see ``score_many``.

    Args:
        space: the space of the architectures.
        score: as in ``score_many``.
        metrics: names that every result must hold.
        measured: further costs to measure.
        workers: as in ``score_many``.

    Raises:
        TypeError: if the settings are of trials that do not score one architecture each.
    """
    if isinstance(score, str | Sequence):
        scorer = UntrainedScorer(space, [score] if isinstance(score, str) else list(score))
        return ActorPool(scorer, {"cpu": 1}, workers, stays_here=lambda: workers is None and scorer.is_cheap)
    settings = score if isinstance(score, TrialSettings) else Function(fn=score)
    if not isinstance(settings, ArchitectureSettings):
        raise TypeError(f"only settings of trials that score one architecture each can do so in bulk, got {settings!r}")
    runner = settings.runner(space, metrics)
    runner.measured &= frozenset(measured)
    return ActorPool(runner, settings.resources, workers)


class UntrainedScorer:
    """Scores by metrics that need no training.

    Args:
        space: the space of the architectures.
        names: of the metrics.
    """

    def __init__(self, space: SearchSpace, names: Sequence[str]) -> None:
        for name in names:
            if name not in METRICS or METRICS[name].measure is None:
                raise UnknownNameError("untrained metric", name, [n for n, m in METRICS.items() if m.measure])
        self._names = tuple(names)
        self._measurer = Measurer(space)

    @property
    def is_cheap(self) -> bool:
        """True if scoring takes microseconds, or may turn out to after a few more architectures."""
        return all(name in COUNTED and self._measurer.models.adds_up(name) is not False for name in self._names)

    def run(self, config: Config) -> Result:
        """Compute the metrics; a failure is a result too."""
        status = {"training_iteration": 1, "complete": 1, "failed": 0, "error": ""}
        try:
            arch = Architecture.from_config(config)  # Canonical, as all that is scored in bulk is.
            return {**self._measurer.values([METRICS[name] for name in self._names], arch), **status}
        except Exception as error:
            return failed_result(one_line(error))


def _evaluation(arch: Architecture, result: Result, trial: str) -> Evaluation:
    status: Status = "failed" if result["failed"] else "finished"
    return Evaluation(arch, metrics_of(result), fidelity_of(result), status, trial, result["error"])
