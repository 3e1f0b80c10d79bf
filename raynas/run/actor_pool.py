"""ActorPool: a few long-lived actors that score many architectures, where a Tune trial each would cost too much."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol

import ray
from ray.exceptions import RayError
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from raynas.core.architecture import Config
from raynas.core.outcome import Result
from raynas.errors import RaynasError, one_line
from raynas.nodes import Resources, actor_options, in_ray_names
from raynas.run.cluster import start_ray
from raynas.run.pool_calls import IN_FLIGHT, AsTheyCome, CallQueue, InOrder, Worker
from raynas.run.resources import ASK_SECONDS, Room
from raynas.run.time_limit import too_long
from raynas.trials.sick_process import refuse_sick

logger = logging.getLogger(__name__)

CALL_SECONDS = 0.2
"""Target duration of a call: cheap configs are sent many at a time, so that calls cost next to nothing."""

MAX_PER_CALL = 500

MAX_FAILED_STARTS = 3
"""Number of actors in a row that may fail to start before the pool gives up."""

WAIT_SECONDS = 10.0
"""Duration without any actor after which the log says that the pool waits for room."""


class Scorer(Protocol):
    """Scores the architecture in a config; a ``TrialRunner`` is one."""

    def run(self, config: Config) -> Result:
        """Return the result that a trial of that config would end with; raises nothing."""


def failed_result(reason: str) -> Result:
    """Return the result of a trial that failed before it scored anything."""
    return {"training_iteration": 0, "complete": 0, "failed": 1, "error": reason}


class ActorPool:
    """A few actors that score configs; a context that ends them.

    Only actors that have started get configs: those for which the cluster has no room now wait for it. While the
    cluster grows, actors are added. An actor that dies is replaced. The configs of the call during which it died are
    scored again one by one; a config that kills an actor twice has failed. So has one that takes too long by itself.

    Args:
        scorer: is put into the object store once, from where every actor reads it.
        resources: the need of each actor, by Tune's names ("cpu", "gpu") or the name of a custom resource; or that of
            each process, where an actor works with others, its own first.
        workers: largest number of actors; None for as many as the cluster has room for, 0 to score in this process.
        stays_here: asked before each config until it says no; while it says yes, this process scores.
        max_seconds: time of a config after which its actor is ended; None for no limit.

    Raises:
        RaynasError: if no node has room for an actor.
    """

    def __init__(
        self,
        scorer: Scorer,
        resources: Resources | Sequence[Resources],
        workers: int | None = None,
        stays_here: Callable[[], bool] = lambda: False,
        max_seconds: float | None = None,
    ) -> None:
        self._scorer, self._n_workers, self._stays_here = scorer, workers, stays_here
        self._bundles = [resources] if isinstance(resources, Mapping) else list(resources)
        self._max_seconds = max_seconds
        self._workers: list[Worker] = []
        self._room: Room | None = None
        self._n_failed_starts = 0
        self._per_call = 1
        if not self._is_here:
            self._start()

    @property
    def _is_here(self) -> bool:
        return self._room is None and (self._n_workers == 0 or self._stays_here())

    def _start(self) -> None:
        start_ray()
        self._room = Room(self._bundles, self._n_workers)
        self._actor_class: Any = ray.remote(_Actor)
        self._options = actor_options(self._bundles[0])
        self._shared = [ray.put(self._scorer)]
        self._asked_for_room = time.monotonic()
        self._grow()

    def _grow(self) -> None:
        """Ask for as many actors as the cluster has room for now."""
        assert self._room is not None
        while len(self._workers) < self._room():
            group, place = None, {}
            if len(self._bundles) > 1:
                group = placement_group(list(map(in_ray_names, self._bundles)))
                place = {"scheduling_strategy": PlacementGroupSchedulingStrategy(group, 0)}
            actor = self._actor_class.options(**self._options, **place).remote()
            self._workers.append(Worker(actor, starting=actor.start.remote(self._shared), group=group))

    def __enter__(self) -> "ActorPool":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        for worker in self._workers:
            worker.end()
        self._workers = []

    def results(self, configs: Iterable[Config], *, in_order: bool = True) -> Iterator[Result]:
        """Yield the result of each config as soon as it is known.

        Args:
            configs: any number; taken as they are needed.
            in_order: True for the order of the configs: a result waits for all before it.
        """
        waiting = iter(configs)
        while self._is_here:
            config = next(waiting, None)
            if config is None:
                return
            yield self._scorer.run(config)
        if self._room is None:
            self._start()
        yield from self._results_of_actors(CallQueue(waiting), InOrder() if in_order else AsTheyCome())

    def _results_of_actors(self, queue: CallQueue, done: InOrder) -> Iterator[Result]:
        while True:
            self._grow()
            is_all_sent = self._send(queue)
            calls = {ref: worker for worker in self._workers for ref in worker.calls}
            if is_all_sent and not calls:
                return
            self._end_stuck()
            starts = {worker.starting: worker for worker in self._workers if worker.starting is not None}
            for ref in _ended([*calls, *starts]):
                if ref in calls:
                    self._take_or_recover(calls[ref], ref, queue, done)
                else:
                    self._note_start(starts[ref])
            yield from done.ready()

    def _send(self, queue: CallQueue) -> bool:
        """Give calls to the actors, the least busy first, until all are busy; return whether nothing is left."""
        while started := [worker for worker in self._workers if worker.starting is None]:
            worker = min(started, key=lambda worker: worker.load)
            if worker.load >= (1 if queue.needs_idle_actor else IN_FLIGHT):
                return False
            call = queue.next(self._per_call)
            if call is None:
                return True
            worker.send(call)
        if time.monotonic() - self._asked_for_room > WAIT_SECONDS:
            logger.warning("scoring waits for a free node, with %s for an actor", dict(self._bundles[0]))
            self._asked_for_room = float("inf")
        return False

    def _note_start(self, worker: Worker) -> None:
        """Let an actor that has started take calls; give up where none can.

        Raises:
            RaynasError: if several in a row have failed to start.
        """
        try:
            ray.get(worker.starting)
        except RayError as error:
            self._workers.remove(worker)
            worker.end()
            self._n_failed_starts += 1
            if self._n_failed_starts >= MAX_FAILED_STARTS:
                raise RaynasError(f"actors that score cannot start: {reason_of_loss(error)}") from None
        else:
            worker.starting = None
            self._n_failed_starts, self._asked_for_room = 0, float("inf")

    def _take_or_recover(self, worker: Worker, ref: Any, queue: CallQueue, done: InOrder) -> None:
        if ref not in worker.calls:  # answered while its actor was given up
            return
        try:
            self._take(worker, ref, done)
        except RayError:
            self._workers.remove(worker)
            worker.end()
            self._recover(worker, queue, done)

    def _end_stuck(self) -> None:
        """End actors that are at a call for longer than a config may take; their calls are lost then."""
        for worker in self._workers:
            if self._max_seconds is not None and worker.overdue is None and worker.seconds > self._max_seconds:
                ref, call = next(iter(worker.calls.items()))
                if not ray.wait([ref], timeout=0)[0]:  # answered while this process was busy
                    worker.overdue = call
                    worker.end()

    def _take(self, worker: Worker, ref: Any, done: InOrder) -> None:
        """Take the results of a call; the next calls are as large as their duration suggests.

        Raises:
            RayError: if the actor died before it could answer; the call stays with its worker.
        """
        results, seconds = ray.get(ref)
        self._per_call = int(min(max(CALL_SECONDS / max(seconds / len(results), 1e-9), 1), MAX_PER_CALL))
        done.add(worker.calls.pop(ref).first, results)
        worker.since = time.monotonic()

    def _recover(self, dead: Worker, queue: CallQueue, done: InOrder) -> None:
        """Take the results that a dead actor did give, and queue the others again.

        An actor does its calls in order. So the first that is lost was running when it died, or had just ended without
        a chance to answer; the others are innocent, however often it happens to them.
        """
        lost = []
        for ref in list(dead.calls):
            try:
                self._take(dead, ref, done)
            except RayError as error:
                lost.append((dead.calls[ref], error))
        (culprit, cause), *innocent = lost
        if self._max_seconds is not None and culprit is dead.overdue and len(culprit.configs) == 1:
            done.add(culprit.first, [failed_result(too_long(self._max_seconds))])
        elif culprit.is_suspect:
            done.add(culprit.first, [failed_result(f"the actor died twice: {reason_of_loss(cause)}")])
        else:
            queue.repeat(culprit.split())
        queue.repeat(call for call, _ in innocent)


def reason_of_loss(error: RayError) -> str:
    """Return in one line for what reason an actor or a task was lost: the exception that it raised, if it did."""
    return one_line(getattr(error, "cause", None) or error)


def _ended(refs: list[Any]) -> list[Any]:
    """Wait until a call has ended, or until it is time to ask for room again."""
    if not refs:
        time.sleep(ASK_SECONDS)
        return []
    ended: list[Any] = ray.wait(refs, num_returns=1, timeout=ASK_SECONDS)[0]
    return ended


class _Actor:
    """Keeps a scorer in another process."""

    def start(self, shared: "list[ray.ObjectRef[Scorer]]") -> None:
        """Get ready to score.

        Args:
            shared: the reference to the scorer.
        """
        self._scorer: Scorer = ray.get(shared[0])

    def run(self, configs: Sequence[Config]) -> tuple[list[Result], float]:
        """Score configs and return the results, and the seconds that they took.

        Args:
            configs: what to score.

        Raises:
            SickProcessError: if a failure shows that this process can score nothing more.
        """
        start = time.perf_counter()
        results = []
        for config in configs:
            results.append(self._scorer.run(config))
            refuse_sick(results[-1])
        return results, time.perf_counter() - start
