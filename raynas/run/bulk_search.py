"""Scoring many architectures by a few long-lived actors, where a Tune trial each would cost more than the score."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Protocol

import ray
from ray import tune
from ray.exceptions import RayError

from raynas.core.architecture import Architecture, Option
from raynas.core.archive import Archive
from raynas.core.evaluation import Evaluation, metrics_of
from raynas.core.outcome import fidelity_of
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.errors import UnknownNameError, one_line
from raynas.metrics import METRICS, Measurer
from raynas.metrics.table import COUNTED
from raynas.run.resume import last_number
from raynas.trials.function import Function
from raynas.trials.settings import ArchitectureSettings, TrialSettings

Config = Mapping[str, Any]
Result = dict[str, Any]

CALL_SECONDS = 0.2
"""How long a call of an actor should take: what is cheaper goes many at a time, so that calls cost next to nothing."""

MAX_PER_CALL = 500
IN_FLIGHT = 2
"""Calls that wait at each actor: while the driver takes one in, the next is under way."""


class Scorer(Protocol):
    """Scores the architecture in a config; a ``TrialRunner`` is one."""

    def run(self, config: Config) -> Result:
        """The result that a trial of that config would end with; nothing is raised."""


def score_many(
    space: SearchSpace,
    archs: Iterable[Mapping[str, Option]],
    score: "ArchitectureSettings | str | Sequence[str] | Callable[..., Any]",
    *,
    workers: int | None = None,
) -> Iterator[Evaluation]:
    """Score architectures in bulk, in their order; those that fail are told as failed.

    Each actor keeps what scoring needs (a supernet, data) from one architecture to the next; arrays lie in Ray's object
    store, once per node. What an architecture scores does not depend on the number of workers.

    Args:
        space: what the architectures belong to.
        archs: any number; taken as they are needed.
        score: settings such as ``Subnet(...)``, names of metrics that need no training (``["params", "macs"]``), or a
            function ``fn(model, config)``.
        workers: how many actors; None for as many as the cluster has room for, or for none where scoring takes less
            time than sending; 0 to score in this process.

    Raises:
        RaynasError: if settings and space do not fit together.
        UnknownNameError: if a metric's name is unknown.
    """
    with pool_of(space, score, workers=workers) as pool:
        points = deque[Architecture]()

        def configs() -> Iterator[Config]:
            for arch in archs:
                points.append(space.canonical(arch))
                yield space.to_config(points[-1])

        for n, result in enumerate(pool.results(configs()), 1):
            yield _evaluation(points.popleft(), result, f"{n:05d}")


def pool_of(
    space: SearchSpace,
    score: "TrialSettings | str | Sequence[str] | Callable[..., Any]",
    metrics: Sequence[str] = (),
    *,
    measured: Iterable[str] = (),
    workers: int | None = None,
) -> "Pool":
    """The actors that compute a score; see ``score_many``.

    Args:
        space: what the architectures belong to.
        score: how.
        metrics: what every result must hold.
        measured: the costs that are wanted besides.
        workers: how many actors; None for what suits, 0 for none.
    """
    if isinstance(score, str | Sequence):
        names = [score] if isinstance(score, str) else list(score)
        untrained = Untrained(space, names)
        return Pool(untrained, {"cpu": 1}, workers, stays=lambda: workers is None and untrained.is_cheap)
    settings = score if isinstance(score, TrialSettings) else Function(fn=score)
    if not isinstance(settings, ArchitectureSettings):
        raise TypeError(f"only settings of trials that score one architecture each can do so in bulk, got {settings!r}")
    runner = settings.runner(space, metrics)
    runner.measured &= frozenset(measured)
    return Pool(runner, settings.resources, workers)


class Untrained:
    """Scores by metrics that need no training.

    Args:
        space: what the architectures belong to.
        names: of the metrics.
    """

    def __init__(self, space: SearchSpace, names: Sequence[str]) -> None:
        self._space, self._names = space, tuple(names)
        for name in names:
            if name not in METRICS or METRICS[name].measure is None:
                raise UnknownNameError("untrained metric", name, [n for n, m in METRICS.items() if m.measure])
        self._measurer = Measurer(space)

    @property
    def is_cheap(self) -> bool:
        """Whether scoring takes microseconds, or may turn out to after a few more architectures."""
        return all(name in COUNTED and self._measurer.models.adds_up(name) is not False for name in self._names)

    def run(self, config: Config) -> Result:
        """Compute the metrics."""
        told = {"training_iteration": 1, "complete": 1, "failed": 0, "error": ""}
        try:
            arch = Architecture.from_config(config)  # Canonical, as all that is scored in bulk is.
            return {**self._measurer.values([METRICS[name] for name in self._names], arch), **told}
        except Exception as error:
            return _failure(one_line(error))


def _failure(reason: str) -> Result:
    return {"training_iteration": 0, "complete": 0, "failed": 1, "error": reason}


def _evaluation(arch: Architecture, result: Result, trial: str) -> Evaluation:
    status = "failed" if result["failed"] else "finished"
    return Evaluation(arch, metrics_of(result), fidelity_of(result), status, trial, result["error"])  # type: ignore[arg-type]


# --- actors ----------------------------------------------------------------------------------------------------------


class _Actor:
    """Keeps a scorer."""

    def __init__(self) -> None:
        self._scorer: Scorer | None = None

    def run(self, shared: list[Any], configs: Sequence[Config]) -> tuple[list[Result], float]:
        """The results, and the seconds that they took.

        Args:
            shared: the reference to the scorer, fetched once.
            configs: what to score.
        """
        if self._scorer is None:
            self._scorer = ray.get(shared[0])
        scorer: Scorer = self._scorer
        start = time.perf_counter()
        return [scorer.run(config) for config in configs], time.perf_counter() - start


class Pool:
    """A few actors that score whatever they are given; a context that ends them.

    An actor that dies is replaced. What it was at is scored again one by one; what one dies at twice has failed.

    Args:
        scorer: goes to the object store once, and from there to every actor.
        resources: what each actor needs.
        workers: how many; None for as many as the cluster has room for, 0 to score in this process.
        stays: whether to go on in this process for now; actors begin when it says no.
    """

    def __init__(
        self,
        scorer: Scorer,
        resources: Mapping[str, float],
        workers: int | None = None,
        stays: Callable[[], bool] = lambda: False,
    ) -> None:
        self._scorer, self._resources, self._workers, self._stays = scorer, resources, workers, stays
        self._actors: list[Any] = []
        self._per_call = 1
        if not self._is_here():
            self._start()

    def _is_here(self) -> bool:
        return not self._actors and (self._workers == 0 or self._stays())

    def _start(self) -> None:
        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=False)
        options = {"num_cpus": self._resources.get("cpu", 0), "num_gpus": self._resources.get("gpu", 0)}
        self._actor = ray.remote(_Actor).options(**options)
        self._shared = [ray.put(self._scorer)]
        self._actors = [self._actor.remote() for _ in range(self._workers or _room(options))]

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []

    def results(self, configs: Iterable[Config]) -> Iterator[Result]:
        """The result of each config, in their order, as soon as it and all before it are there."""
        waiting = iter(configs)
        while self._is_here():
            config = next(waiting, None)
            if config is None:
                return
            yield self._scorer.run(config)
        if not self._actors:
            self._start()
        yield from self._results_of_actors(waiting)

    def _results_of_actors(self, waiting: Iterator[Config]) -> Iterator[Result]:
        calls: dict[Any, _Call] = {}  # in the order in which they were made
        done: dict[int, Result] = {}
        again: deque[_Call] = deque()
        idle = deque(actor for _ in range(IN_FLIGHT) for actor in self._actors)
        n_begun = n_given = 0
        while True:
            while actor := _with_room(idle, alone=bool(again) and again[0].is_suspect):
                call = again.popleft() if again else self._next_call(waiting, n_begun)
                if call is None:
                    break
                n_begun = max(n_begun, call.first + len(call.configs))
                call.actor = actor
                for _ in range(call.n_places):
                    idle.remove(actor)
                calls[actor.run.remote(self._shared, call.configs)] = call
            if not calls:
                return
            ref = ray.wait(list(calls), num_returns=1)[0][0]
            actor, is_lost = calls[ref].actor, not _went_well(ref)
            mates = _at(calls, actor) if is_lost else {ref: calls[ref]}
            for ref in mates:
                idle.extend([actor] * calls.pop(ref).n_places)
            if is_lost:
                fresh = self._replaced(actor)
                idle = deque(fresh if other is actor else other for other in idle)
            done |= self._taken(mates, again)
            while n_given in done:
                yield done.pop(n_given)
                n_given += 1

    def _replaced(self, actor: Any) -> Any:
        """A new actor for one that died: calls to one that starts again would be lost without having begun."""
        fresh = self._actor.remote()
        self._actors = [fresh if other is actor else other for other in self._actors]
        return fresh

    def _next_call(self, waiting: Iterator[Config], first: int) -> "_Call | None":
        configs = list(islice(waiting, self._per_call))
        return _Call(first, configs) if configs else None

    def _taken(self, calls: "Mapping[Any, _Call]", again: deque["_Call"]) -> dict[int, Result]:
        """The results of calls of one actor, by number; what has to be done again goes to ``again``.

        An actor does its calls in order. So when it died, the first that was lost was under way, or had just ended
        without a chance to say so; the others are innocent, however often it happens to them.
        """
        found: dict[int, Result] = {}
        is_innocent = False
        for ref, call in calls.items():
            try:
                results, seconds = ray.get(ref)
            except RayError as error:
                if is_innocent:
                    again.append(call)
                elif call.is_suspect:
                    found[call.first] = _failure(f"the actor died twice: {one_line(error)}")
                else:
                    again.extend(call.apart())
                is_innocent = True
                continue
            self._per_call = int(min(max(CALL_SECONDS / max(seconds / len(results), 1e-9), 1), MAX_PER_CALL))
            found |= {call.first + i: result for i, result in enumerate(results)}
        return found


def _went_well(ref: Any) -> bool:
    try:
        ray.get(ref)
    except RayError:
        return False
    return True


def _with_room(idle: deque[Any], *, alone: bool) -> Any:
    """An actor that can take another call, or one without any; None if there is none."""
    return next((actor for actor in idle if not alone or idle.count(actor) == IN_FLIGHT), None)


def _at(calls: "Mapping[Any, _Call]", actor: Any) -> "dict[Any, _Call]":
    return {ref: call for ref, call in calls.items() if call.actor is actor}


class _Call:
    """Some configs on their way to an actor and back.

    Args:
        first: number of the first config.
        configs: consecutive ones.
        is_suspect: whether an actor died at the one config, or at the one after it: it has its actor for itself then.
    """

    def __init__(self, first: int, configs: list[Config], is_suspect: bool = False) -> None:
        self.first, self.configs, self.is_suspect = first, configs, is_suspect
        self.actor: Any = None

    @property
    def n_places(self) -> int:
        """How many of the ``IN_FLIGHT`` places of its actor the call takes."""
        return IN_FLIGHT if self.is_suspect else 1

    def apart(self) -> "list[_Call]":
        """A call for each config; all are under suspicion."""
        return [_Call(self.first + i, [config], True) for i, config in enumerate(self.configs)]


def _room(options: Mapping[str, float]) -> int:
    total = ray.cluster_resources()
    rooms = [int(total.get(name[4:-1].upper(), 0) // n) for name, n in options.items() if n]
    return max(min(rooms, default=1), 1)


# --- a search --------------------------------------------------------------------------------------------------------


def search_in_bulk(
    searcher: ArchitectureSearcher,
    pool: Pool,
    *,
    num_samples: int,
    bulk_size: int,
    callbacks: Sequence[tune.Callback] = (),
) -> None:
    """Let a searcher search, a batch at a time: nothing of a batch is observed before all of it is proposed.

    Batches are observed in the order of proposal, so a search depends neither on the number of actors nor on which is
    faster. A search that was killed goes on with the batch it was at, and ends like one that was not.

    Args:
        searcher: proposes and records; already replayed.
        pool: scores.
        num_samples: how many architectures the search has scored in the end, over all sessions.
        bulk_size: how many are proposed at a time; a strategy that waits for results makes a batch smaller.
        callbacks: Tune's, which are told that a step has ended after each score, and when all has.
    """
    iteration = 0
    try:
        while batch := _next_batch(searcher, num_samples, bulk_size):
            for trial, result in zip(batch, pool.results(batch.values()), strict=True):
                searcher.on_trial_complete(trial, result)
                for callback in callbacks:
                    callback.on_step_end(iteration, [])
                iteration += 1
    except KeyboardInterrupt:
        pass
    finally:
        for callback in callbacks:
            callback.on_experiment_end([])


def _next_batch(searcher: ArchitectureSearcher, num_samples: int, bulk_size: int) -> dict[str, Config]:
    """The configs to score next, by trial."""
    archive = searcher.archive
    batch: dict[str, Config] = {trial: record["config"] for trial, record in archive.unfinished().items()}
    if batch and _is_begun(archive, batch):
        return batch
    n_left = num_samples - len(archive.events("proposed"))
    first = last_number(archive) + 1
    for number in range(first, first + min(bulk_size - len(batch), n_left)):
        trial = f"{number:05d}"
        config = searcher.suggest(trial)
        if not isinstance(config, dict):
            break
        batch[trial] = config
    return batch


def _is_begun(archive: Archive, batch: Mapping[str, Config]) -> bool:
    """Whether some of a batch was scored already by a session that was killed: then all of it had been proposed."""
    since = 0
    for record in archive:
        since = 0 if record["event"] == "ended" else since + (record["event"] == "proposed")
    return since < len(batch)
