"""run_trials(): the trials of a search, on Tune, whose ``Tuner`` is built here alone, or in bulk by actors."""

import gc
from pathlib import Path

from ray import tune
from ray.tune.schedulers import FIFOScheduler

from raynas.core.searcher import ArchitectureSearcher
from raynas.metrics.table import COUNTED
from raynas.run.asked import ReportCheck, wanted
from raynas.run.bulk_search import search_in_bulk
from raynas.run.checkpoint_retention import KeepBest
from raynas.run.cluster import start_ray
from raynas.run.environment import FAST_SETTINGS, environment, quiet_tune, terminate_as_interrupt
from raynas.run.resources import room_for
from raynas.run.resume import ArchivedSearch
from raynas.run.score_many import pool_for
from raynas.strategies import Strategy
from raynas.trials.settings import TrialSettings
from raynas.views.progress import ProgressCallback
from raynas.views.tensorboard import TensorBoardCallback


def run_trials(
    searcher: ArchitectureSearcher,
    settings: TrialSettings,
    strategy: Strategy,
    *,
    num_samples: int,
    max_concurrent: int | None,
    path: Path,
    run_config: tune.RunConfig | None,
    progress: bool,
    tensorboard: bool,
) -> None:
    """Run the trials that a search still lacks, to its end or until it is interrupted.

    Args:
        searcher: proposes and records; already replayed.
        settings: the way of scoring.
        strategy: gives the scheduler.
        num_samples: number of trials that the search has in the end.
        max_concurrent: number of trials at a time; None for as many as the cluster has room for.
        path: the search's folder.
        run_config: the user's.
        progress: whether to show a live table.
        tensorboard: whether to write TensorBoard logs.

    Raises:
        ArchiveError: if an event cannot be recorded.
        RaynasError: if the cluster has no room for a trial.
        ValueError: if the search is in bulk and asks for something that only Tune's trials can give.
    """
    given = run_config or tune.RunConfig()
    if settings.bulk_size:
        _check_bulk(strategy, given)
    start_ray()
    max_concurrent = max_concurrent or room_for(settings.resources)
    callbacks: list[tune.Callback] = []
    if tensorboard:
        callbacks.append(TensorBoardCallback(searcher, path / "tensorboard"))
    if progress:
        callbacks.append(ProgressCallback(searcher, num_samples))
    if settings.bulk_size:
        _run_in_bulk(searcher, settings, num_samples, max_concurrent, callbacks)
        return
    scheduler = strategy.scheduler(searcher.goal.first, settings.max_fidelity) or FIFOScheduler()
    check = ReportCheck(searcher, settings)
    search_alg = ArchivedSearch(
        searcher, scheduler, num_samples=num_samples, max_concurrent=max_concurrent, check=check
    )
    cls = settings.trainable(searcher.space, wanted(searcher))
    tuner = tune.Tuner(
        cls,
        tune_config=tune.TuneConfig(search_alg=search_alg, scheduler=scheduler, num_samples=-1, reuse_actors=True),
        run_config=_run_config(given, path, cls, [KeepBest(searcher, path), *callbacks]),
    )
    variables = {**FAST_SETTINGS, "TUNE_MAX_PENDING_TRIALS_PG": str(max_concurrent)}
    with environment(variables), quiet_tune(), terminate_as_interrupt():
        _fit(tuner, search_alg)


def _run_config(
    given: tune.RunConfig, path: Path, cls: type[tune.Trainable], callbacks: list[tune.Callback]
) -> tune.RunConfig:
    """Add raynas's callbacks to the user's run config, and fast settings where the user sets nothing."""
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


def _fit(tuner: tune.Tuner, search_alg: ArchivedSearch) -> None:
    """Run to the end; what ends the search before is raised as it is, however Tune words or hides it."""
    archive = search_alg.searcher.archive
    try:
        tuner.fit()
    except Exception:
        if archive.failure is None and search_alg.failure is None:
            raise
    if failure := archive.failure or search_alg.failure:
        # Tune cleans up after itself only at an orderly end. Its actors and placement groups, which no other search of
        # this process could use, go with the objects that the traceback still holds.
        failure.__traceback__ = failure.__context__ = None
        gc.collect()
        raise failure


def _check_bulk(strategy: Strategy, given: tune.RunConfig) -> None:
    """Refuse settings without effect: in bulk there are neither Tune trials nor intermediate reports."""
    asked = {"early_stopping": strategy.early_stopping, "stop": given.stop, "callbacks": given.callbacks}
    for name, value in asked.items():
        if value:
            raise ValueError(f"architectures scored in bulk are no Tune trials, which {name} needs; use bulk=0")


def _run_in_bulk(
    searcher: ArchitectureSearcher,
    settings: TrialSettings,
    num_samples: int,
    workers: int,
    callbacks: list[tune.Callback],
) -> None:
    pool = pool_for(searcher.space, settings, wanted(searcher), counted=COUNTED, workers=workers)
    with pool, terminate_as_interrupt():
        search_in_bulk(
            searcher,
            pool,
            num_samples=num_samples,
            bulk_size=settings.bulk_size,
            callbacks=callbacks,
            check=ReportCheck(searcher, settings),
        )
