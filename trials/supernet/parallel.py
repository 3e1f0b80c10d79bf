"""Data-parallel training of shared weights: several processes share each batch, by Ray Train's TorchTrainer."""

import logging
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import ray
from ray.util.queue import Empty, Queue
from torch import Tensor

from raynas.core.feasible_sampler import MemberLimits
from raynas.data.sources import Source
from raynas.errors import RaynasError, one_line
from raynas.nn import ModelSpace
from raynas.nodes import may_grow, resources_of_nodes, room_for
from raynas.threads import limited_threads
from raynas.trials.checkpoint import State
from raynas.trials.supernet.trainer import MethodReport
from raynas.trials.workers import Distributed, backend_for

if TYPE_CHECKING:
    from raynas.trials.supernet.training import WeightSharing

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""Interval between checks that workers that report nothing are still alive."""


class ParallelTraining:
    """Trains in ``settings.workers`` processes; this one waits for the reports of the first.

    Args:
        settings: settings of the training.
        space: the space of the networks that share weights.
        source: the data.
        directory: a folder that all nodes see, for the state of Ray Train; None for a temporary one.
        limits: hard limits on costs of the networks.

    Raises:
        RaynasError: if the cluster is too small for the workers.
    """

    def __init__(
        self,
        settings: "WeightSharing",
        space: ModelSpace,
        source: Source,
        directory: str | None = None,
        limits: MemberLimits | None = None,
    ) -> None:
        self._settings, self._space, self._source = settings, space, source
        self._directory, self._limits = directory, limits
        self._check_resources()
        self._state: State | None = None
        self._reports: Queue | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def run_epoch(self) -> tuple[dict[str, float], MethodReport]:
        """Wait for the next epoch; return the scores and the report of the method.

        Raises:
            RaynasError: if the workers failed.
        """
        if self._thread is None:
            self._begin()
        scores, report, self._state = self._next_report()
        return scores, report

    @property
    def state(self) -> State:
        """State after the last epoch."""
        return self._state or {}

    def load_state(self, state: State) -> None:
        """Let the workers continue from ``state`` when they begin."""
        self._state = state

    def close(self) -> None:
        """Close the queue, without which the workers end at their next report."""
        if self._reports is not None:
            with suppress(Exception):
                self._reports.shutdown(force=True)
            self._reports = None

    def _check_resources(self) -> None:
        """Check that the workers fit into the cluster, each on a node: Ray Train would wait for ever."""
        need, n = [self._settings.worker_resources], self._settings.workers
        room = room_for(resources_of_nodes(), need)
        if room < n and not may_grow(need):
            raise RaynasError(f"{n} workers need {need[0]} each, the nodes have room for {room}; use fewer workers")

    def _begin(self) -> None:
        self._reports = Queue(maxsize=1, actor_options={"num_cpus": 0})
        payload = ray.put((self._settings, self._space, self._source, self._limits, self._state))
        self._thread = threading.Thread(target=self._train, args=([payload], self._reports), daemon=True)
        self._thread.start()

    def _train(self, payload: list[ray.ObjectRef[Any]], reports: Queue) -> None:
        # Ray Train takes a second to import, and only the few who train in parallel need it.
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        # Ray Train's first version wants a CPU for itself, though it only waits; the second refuses to be told.
        is_first = not TorchTrainer.__module__.startswith("ray.train.v2")
        waits: dict[str, Any] = {"trainer_resources": {"CPU": 0}} if is_first else {}
        try:
            TorchTrainer(
                _work,
                train_loop_config={"payload": payload, "reports": reports},
                torch_config=TorchConfig(backend=backend_for(self._settings.worker_resources)),
                scaling_config=ScalingConfig(
                    num_workers=self._settings.workers,
                    use_gpu="GPU" in self._settings.worker_resources,
                    resources_per_worker=self._settings.worker_resources,
                    **waits,
                ),
                run_config=RunConfig(name="workers", storage_path=self._directory or tempfile.mkdtemp()),
            ).fit()
        except BaseException as error:
            self._failure = error

    def _next_report(self) -> tuple[dict[str, float], MethodReport, State]:
        assert self._reports is not None and self._thread is not None
        while True:
            alive = self._thread.is_alive()
            try:
                scores, report, state = self._reports.get(timeout=POLL_SECONDS)
                return scores, report, state
            except Empty:
                if not alive:
                    reason = one_line(self._failure) if self._failure else "they ended early"
                    raise RaynasError(f"the workers of data-parallel training failed: {reason}") from self._failure


def _work(config: dict[str, Any]) -> None:
    """Train, as one of the workers."""
    from ray import train
    from ray.train.torch import get_device

    settings, space, source, limits, state = ray.get(config["payload"][0])
    context = train.get_context()
    workers = Distributed(context.get_world_rank(), context.get_world_size())
    with limited_threads(settings.n_threads):
        trainer = settings.trainer(space, source, get_device(), workers, limits)
        if state:
            trainer.load_state_dict(state)
        while not trainer.finished and not trainer.learner.ended_because:
            scores = trainer.run_epoch()
            if workers.rank == 0:
                config["reports"].put((scores, trainer.report, _on_cpu(trainer.state_dict())))


def _on_cpu(state: object) -> object:
    """Copy a state to the CPU: it is sent while the training continues."""
    if isinstance(state, Tensor):
        return state.detach().cpu().clone()
    if isinstance(state, Mapping):
        return {key: _on_cpu(value) for key, value in state.items()}
    return [_on_cpu(value) for value in state] if isinstance(state, list) else state
