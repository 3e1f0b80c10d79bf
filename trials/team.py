"""Team: the processes that run a trial together, each on its share of every batch; by default one alone."""

import logging
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayActorError, RayError
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from torch import distributed

from raynas.errors import RaynasError, one_line
from raynas.isolation import OwnState, isolated, seed_generators
from raynas.nodes import Resources, actor_options, may_grow, resources_of_nodes, room_for
from raynas.threads import limited_threads
from raynas.trials.failures import forget_frames, reason_of, reason_of_death
from raynas.trials.sick_process import SickProcessError, end_process_soon
from raynas.trials.trial import Trial
from raynas.trials.workers import Workers, backend_for

if TYPE_CHECKING:
    from raynas.trials.runner import TrialRunner
    from raynas.trials.settings import ArchitectureSettings

logger = logging.getLogger(__name__)

WAIT_SECONDS = 10.0
"""Time after a failure for which the other processes are asked for theirs, one of which may be the reason."""

GRACE_SECONDS = 30.0
"""Time in which this process should notice that another one failed; a GPU may wait for its message for ever."""

Shared = list["ray.ObjectRef[TrialRunner[Any]]"]
"""A reference to a runner, in a list so that Ray hands it on as it is."""


class LostWorkerError(SickProcessError):
    """A process of a team died, or the others lost it: it is not the trial's own doing."""


class Team:
    """The processes that run the trials of a runner together, one of which is this one; here it is alone.

    Every process has its own trial, and all do the same at the same time: what one of them calls, all call.
    """

    shared: Shared | None = None
    """The runner in the object store, if it is there already."""

    epoch: int = 0
    """Number of epochs done, counted by the runner."""

    def assemble(self, runner: "TrialRunner[Any]") -> Workers:
        """Let all processes make a trial, and return how this process shares batches with the others.

        Raises:
            LostWorkerError: if a process dies.
            RaynasError: if there is no room for them.
        """
        return Workers()

    def calling(self, method: str, seed: int | None = None, *args: object) -> AbstractContextManager[object]:
        """Return a context in which this process calls a method of its trial, as the other processes do meanwhile.

        Args:
            method: name of the method.
            seed: seed of the global generators; None leaves them.
            args: its arguments.

        Raises:
            LostWorkerError: at its end, if a process died.
            RaynasError: at its end, if the method failed in another process first.
        """
        return nullcontext()

    def part(self) -> None:
        """Let the other processes drop their trials."""

    def close(self) -> None:
        """End the other processes."""


class RayTeam(Team):
    """A team whose other processes are Ray actors in the placement group of this one, or anywhere if it has none.

    Args:
        bundles: resources of each process, this one first.
        workers: makes the ``Workers`` of a process from its rank and their number.
    """

    def __init__(self, bundles: Sequence[Resources], workers: type[Workers]) -> None:
        self._bundles, self._workers = list(bundles), workers
        self._members: list[Any] = []

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_members": [], "shared": None}

    def assemble(self, runner: "TrialRunner[Any]") -> Workers:
        n = len(self._bundles)
        if not self._members:
            self.shared = self.shared or [ray.put(runner)]
            self._start()
        for member in self._members:
            member.make.remote(runner.settings)
        return self._workers(0, n)

    def _start(self) -> None:
        n, group = len(self._bundles), _placement_group()
        if group is None:
            self._check_room()
        for rank in range(1, n):
            options = actor_options(self._bundles[rank])
            if group is not None:
                options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(group, rank)
            self._members.append(_Member.options(**options).remote(rank, n, self._workers))  # type: ignore[attr-defined]
        with _Call(self, [member.take.remote(self.shared) for member in self._members]):
            pass
        backend = backend_for(self._bundles[0])
        store = _store(ray.util.get_node_ip_address(), 0, is_master=True)
        with _Call(self, [member.join.remote(store.host, store.port, backend) for member in self._members]):
            distributed.init_process_group(backend, store=store, rank=0, world_size=n)

    def _check_room(self) -> None:
        """Check that the other processes find room: Ray would wait for ever."""
        need = self._bundles[1:]
        if not room_for(resources_of_nodes(), need) and not may_grow(need):
            n = len(self._bundles)
            raise RaynasError(f"{n} workers need {dict(need[0])} each, more than there is; use fewer workers")

    def calling(self, method: str, seed: int | None = None, *args: object) -> AbstractContextManager[object]:
        shared = [ray.put(args)] if args else []  # once for all of them
        return _Call(self, [member.call.remote(method, seed, self.epoch, shared) for member in self._members])

    def part(self) -> None:
        for member in self._members:
            member.drop.remote()

    def leave(self) -> None:
        """Leave the process group, so that the others do not wait for this process."""
        if distributed.is_initialized():
            with suppress(Exception):
                distributed.destroy_process_group()

    def close(self) -> None:
        members, self._members = self._members, []
        for member in members:
            with suppress(Exception):  # of a cluster that is gone
                ray.kill(member)
        if members:
            self.leave()


@dataclass(frozen=True)
class Failure:
    """A failure in a process of a team.

    Args:
        reason: in one line.
        of_group: True if only the communication failed, as it does where another process has failed before.
    """

    reason: str
    of_group: bool

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Return what is known of an exception."""
        text = str(error)
        of_group = isinstance(error, distributed.DistError) or "gloo" in text or "process group" in text.lower()
        return cls(reason_of(error), of_group)


class _Call:
    """Calls of the other processes, beside which this one does its part; at the end all have ended well, or none lives.

    Args:
        team: those who call.
        calls: the calls, one for each other process in the order of ranks.
    """

    def __init__(self, team: RayTeam, calls: "Sequence[ray.ObjectRef[Failure | None]]") -> None:
        self._team, self._calls = team, list(calls)
        self._ended = threading.Event()

    def __enter__(self) -> None:
        if self._calls:
            threading.Thread(target=self._watch, daemon=True).start()

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        own = None if error is None or isinstance(error, StopIteration) else error
        failures = self._failures(WAIT_SECONDS if own else None)
        self._ended.set()
        if own is None and not failures:
            return
        self._team.close()
        for rank, failure in failures.items():
            if isinstance(failure, RayError):
                reason = reason_of_death(failure) if isinstance(failure, RayActorError) else one_line(failure)
                raise LostWorkerError(f"worker {rank} of {len(self._calls) + 1} was lost: {reason}") from error
        if own is None or Failure.of(own).of_group:
            for rank, failure in failures.items():
                if isinstance(failure, Failure) and not failure.of_group:
                    raise RaynasError(f"worker {rank}: {failure.reason}") from error
            if own is None:
                rank, failure = next(iter(failures.items()))
                raise LostWorkerError(f"worker {rank}: {failure}")

    def _failures(self, seconds: float | None) -> "dict[int, Failure | RayError]":
        """Wait for the calls; return those that failed, by rank."""
        if seconds is not None:
            self._team.leave()
        found: dict[int, Failure | RayError] = {}
        for rank, call in enumerate(self._calls, 1):
            failure: Failure | RayError | None
            try:
                failure = ray.get(call, timeout=seconds)
            except ray.exceptions.GetTimeoutError:
                continue
            except RayError as error:
                failure = error
            if failure is not None:
                found[rank] = failure
                if seconds is None:
                    self._team.leave()
                    seconds = WAIT_SECONDS
        return found

    def _watch(self) -> None:
        """End this process if it does not notice that another one failed."""
        waiting = list(self._calls)
        while waiting and not self._ended.is_set():
            done, waiting = ray.wait(waiting, num_returns=1, timeout=1.0)
            if any(_failed(call) for call in done):
                if not self._ended.wait(GRACE_SECONDS) and ray.get_runtime_context().get_actor_id():
                    end_process_soon()
                return


def _failed(call: "ray.ObjectRef[Failure | None]") -> bool:
    try:
        return ray.get(call) is not None
    except RayActorError:
        return True


def _store(host: str, port: int, *, is_master: bool) -> Any:
    """Return the store in which processes find each other; the first one has it, at a free port for port 0."""
    return distributed.TCPStore(host, port, is_master=is_master, wait_for_workers=False)  # type: ignore[attr-defined]


def _placement_group() -> PlacementGroup | None:
    """Return the placement group of this process; None in a driver, which has none."""
    return ray.util.get_current_placement_group() if ray.is_initialized() else None


@ray.remote
class _Member:
    """Another process of a team.

    Args:
        rank: number of the process, from 1.
        n: number of processes, the first among them.
        workers: makes the ``Workers`` of a process.
    """

    def __init__(self, rank: int, n: int, workers: type[Workers]) -> None:
        self._workers = workers(rank, n)
        self._trial: Trial[Any] | None = None

    def take(self, shared: Shared) -> None:
        """Keep the runner that trials are made as."""
        self._runner: TrialRunner[Any] = ray.get(shared[0])

    def join(self, host: str, port: int, backend: str) -> None:
        """Join the process group."""
        store = _store(host, port, is_master=False)
        distributed.init_process_group(backend, store=store, rank=self._workers.rank, world_size=self._workers.n)

    def make(self, settings: "ArchitectureSettings") -> None:
        """Make a trial."""
        self._settings, self._own = settings, OwnState()
        self._trial = self._runner.make_trial(settings)
        self._trial.workers = self._workers

    def call(self, method: str, seed: int | None, epoch: int, shared: "list[ray.ObjectRef[Any]]") -> Failure | None:
        """Call a method of the trial; return why it failed, or None."""
        assert self._trial is not None
        self._trial.epoch = epoch
        args = ray.get(shared[0]) if shared else ()
        with limited_threads(self._settings.n_threads), isolated(self._own):
            try:
                if seed is not None:
                    seed_generators(seed)
                with suppress(StopIteration):
                    getattr(self._trial, method)(*args)
            except (Exception, SystemExit) as error:
                failure = Failure.of(error)
                forget_frames(error)
                self._trial = None
                distributed.destroy_process_group()  # without which the others would wait for this process
                return failure
        return None

    def drop(self) -> None:
        """Drop the trial with its network."""
        self._trial = None
