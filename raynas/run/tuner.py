"""How the trials of a search run: on Tune, whose ``Tuner`` is built here alone, or in bulk."""

import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler

from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher
from raynas.errors import RaynasError
from raynas.run.bulk_search import pool_of, search_in_bulk
from raynas.run.checkpoint_retention import KeepBest
from raynas.run.cluster import start_ray
from raynas.run.resume import ArchivedSearch
from raynas.strategies import Strategy
from raynas.trials.settings import TrialSettings
from raynas.trials.zero_cost_metrics import PROXIES
from raynas.views.progress import ProgressCallback
from raynas.views.tensorboard import TensorBoardCallback

FAST_SETTINGS = {
    # Tune's own CSV, JSON and TensorBoard loggers write three files a trial; the archive and one writer replace them.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Tune rewrites its whole state, 9.5 KB a trial, every 10 s; nothing here restores from it.
    "TUNE_GLOBAL_CHECKPOINT_S": "600",
    # Tune's new output prints a banner even at verbose=0.
    "RAY_AIR_NEW_OUTPUT": "0",
}
"""Environment of the driver while a search runs; what the user has set stays."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is left to run of a search.

    Args:
        searcher: proposes and records; already replayed.
        settings: how architectures are scored.
        strategy: gives the scheduler.
        num_samples: how many trials the search has in the end.
        max_concurrent: how many at a time; None for as many as the cluster has room for.
        path: the search's folder.
        run_config: the user's.
        progress: whether to show a live table.
        tensorboard: whether to write TensorBoard logs.
    """

    searcher: ArchitectureSearcher
    settings: TrialSettings
    strategy: Strategy
    num_samples: int
    max_concurrent: int | None
    path: Path
    run_config: tune.RunConfig | None
    progress: bool
    tensorboard: bool

    def run(self) -> None:
        """Run it to its end, or until it is interrupted.

        Raises:
            ArchiveError: if what happens cannot be recorded.
            RaynasError: if the cluster has no room for a trial.
            ValueError: if something is asked for that only trials of their own can give.
        """
        if self.settings.bulk_size:
            self._check_bulk()
        start_ray()
        room = self.max_concurrent or _room(self.settings.resources)
        if self.settings.bulk_size:
            self._run_in_bulk(room)
        else:
            self._run_on_tune(room)

    def _callbacks(self) -> list[tune.Callback]:
        callbacks: list[tune.Callback] = []
        if self.tensorboard:
            callbacks.append(TensorBoardCallback(self.searcher, self.path / "tensorboard"))
        if self.progress:
            callbacks.append(ProgressCallback(self.searcher, self.num_samples))
        return callbacks

    def _run_on_tune(self, max_concurrent: int) -> None:
        searcher = self.searcher
        scheduler = self.strategy.scheduler(searcher.goal.first, self.settings.max_fidelity) or FIFOScheduler()
        search_alg = ArchivedSearch(searcher, scheduler, num_samples=self.num_samples, max_concurrent=max_concurrent)
        cls = self.settings.trainable(searcher.space, required(searcher.goal))
        callbacks = [KeepBest(searcher, self.path), *self._callbacks()]
        tuner = tune.Tuner(
            cls,
            tune_config=tune.TuneConfig(search_alg=search_alg, scheduler=scheduler, num_samples=-1, reuse_actors=True),
            run_config=_run_config(self.run_config, self.path, cls, callbacks),
        )
        variables = {**FAST_SETTINGS, "TUNE_MAX_PENDING_TRIALS_PG": str(max_concurrent)}
        with _environment(variables), _quiet_tune(), _terminate_as_interrupt():
            _fit(tuner, searcher.archive)

    def _check_bulk(self) -> None:
        """Refuse what would do nothing: in bulk there are neither trials of Tune's nor intermediate reports."""
        given = self.run_config or tune.RunConfig()
        asked = {"early_stopping": self.strategy.early_stopping, "stop": given.stop, "callbacks": given.callbacks}
        for what, value in asked.items():
            if value:
                raise ValueError(f"architectures scored in bulk are no Tune trials, which {what} needs; use bulk=0")

    def _run_in_bulk(self, workers: int) -> None:
        goal = self.searcher.goal
        # Latency only where it is asked for: it would take longer than the score.
        asked = {"params", "macs", *goal.names}
        pool = pool_of(self.searcher.space, self.settings, required(goal), measured=asked, workers=workers)
        with pool, _terminate_as_interrupt():
            search_in_bulk(
                self.searcher,
                pool,
                num_samples=self.num_samples,
                bulk_size=self.settings.bulk_size,
                callbacks=self._callbacks(),
            )


def _fit(tuner: tune.Tuner, archive: Archive) -> None:
    """Run to the end; an archive that could not be written ends the search, however Tune words or hides it."""
    try:
        tuner.fit()
    except Exception:
        if archive.failure is None:
            raise
    if archive.failure:
        raise archive.failure


def _run_config(
    given: tune.RunConfig | None, path: Path, cls: type[tune.Trainable], callbacks: list[tune.Callback]
) -> tune.RunConfig:
    """The user's run config, with raynas's callbacks and, where the user says nothing, its fast settings."""
    given = given or tune.RunConfig()
    saves = cls.save_checkpoint is not tune.Trainable.save_checkpoint
    own = tune.CheckpointConfig(checkpoint_frequency=int(saves), checkpoint_at_end=False)
    untouched = given.checkpoint_config in (None, tune.CheckpointConfig())
    return tune.RunConfig(
        name=path.name,
        storage_path=str(path.parent),
        failure_config=given.failure_config or tune.FailureConfig(max_failures=1),
        checkpoint_config=own if untouched else given.checkpoint_config,
        stop=given.stop,
        callbacks=[*(given.callbacks or []), *callbacks],
        verbose=0,
    )


def _room(resources: Mapping[str, float]) -> int:
    """How many trials, or scoring actors, the cluster can run at a time."""
    total = ray.cluster_resources()
    names = {"cpu": "CPU", "gpu": "GPU"}
    rooms = [int(total.get(names.get(name, name), 0) // n) for name, n in resources.items() if n > 0]
    if rooms and min(rooms) < 1:
        raise RaynasError(f"no node has room for a trial, which needs {dict(resources)}; the cluster has {total}")
    return min(rooms, default=1)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables that the user has not set, for as long as the search runs."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _quiet_tune() -> Iterator[None]:
    """Silence what Tune logs: it misses files that are not written here, and failures stand in the progress table."""
    logger = logging.getLogger("ray.tune")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C, on which Tune stops its trials in order; schedulers of clusters send it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def required(goal: Goal) -> list[str]:
    """Return the metrics that every result must hold: the objectives, and the proxies of soft constraints."""
    soft = {c.metric for c in goal.constraints if c.soft and c.metric in PROXIES}
    return list(dict.fromkeys((*(o.metric for o in goal.objectives), *sorted(soft))))
