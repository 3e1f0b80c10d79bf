"""run_trials(): the trials of a search, on Tune, whose ``Tuner`` is built here alone, or in bulk by actors."""

import gc
from pathlib import Path

from ray import tune
from ray.tune.schedulers import FIFOScheduler

from raynas.core.searcher import ArchitectureSearcher
from raynas.errors import RaynasError
from raynas.metrics.table import COUNTED
from raynas.run.actor_pool import ActorPool
from raynas.run.asked import ReportCheck, wanted
from raynas.run.bulk_search import search_in_bulk
from raynas.run.checkpoint_retention import KeepBest
from raynas.run.cluster import start_ray
from raynas.run.environment import FAST_SETTINGS, environment, quiet_tune, terminate_as_interrupt
from raynas.run.failure_streak import FailureStreak
from raynas.run.node_check import check_nodes
from raynas.run.resources import Room
from raynas.run.resume import ArchivedSearch
from raynas.run.run_config import check_bulk, checked_run_config, for_tune, keeps_all, shows_tune
from raynas.run.score_many import pool_for
from raynas.run.spared_baseline import spare_baseline
from raynas.run.stop_criteria import StopCriteria
from raynas.run.time_limit import TimeLimit
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
    max_trial_seconds: float | None = None,
    path: Path,
    run_config: tune.RunConfig | None,
    progress: bool,
    tensorboard: bool,
    max_failures_in_a_row: int | None,
) -> str:
    """Run the trials that a search still lacks, to its end or until it is interrupted.

    Args:
        searcher: proposes and records; already replayed.
        settings: the way of scoring.
        strategy: gives the scheduler.
        num_samples: number of trials that the search has in the end.
        max_concurrent: largest number of trials at a time; None for as many as the cluster has room for.
        max_trial_seconds: time of a trial after which it has failed; None for no limit.
        path: the search's folder.
        run_config: the user's.
        progress: whether to show a live table.
        tensorboard: whether to write TensorBoard logs.
        max_failures_in_a_row: number of failures in a row with one reason that end the search; 0 or None for never.

    Returns:
        The reason why it ended before its number of trials; "" if it did not, or if the searcher knows it.

    Raises:
        ArchiveError: if an event cannot be recorded.
        RaynasError: if the cluster has no room for a trial, a disk is full, or a trial failed and fail_fast of the run
            config is "raise".
        ValueError: if the search is in bulk and asks for something that only Tune's trials can give.
    """
    given = checked_run_config(run_config)
    if settings.bulk_size:
        check_bulk(given, strategy.early_stopping)
    start_ray()
    room = Room(settings.bundles, max_concurrent)
    check_nodes(settings.bundles, None if settings.bulk_size else path)
    callbacks: list[tune.Callback] = []
    if tensorboard:
        callbacks.append(TensorBoardCallback(searcher, path / "tensorboard"))
    if progress:
        callbacks.append(ProgressCallback(searcher, num_samples))
    fail_fast = given.failure_config.fail_fast if given.failure_config else False
    streak = FailureStreak(1, "fail_fast is set") if fail_fast else FailureStreak(max_failures_in_a_row)
    if settings.bulk_size:
        pool = pool_for(
            searcher.space,
            settings,
            wanted(searcher),
            counted=COUNTED,
            workers=max_concurrent,
            max_seconds=max_trial_seconds,
        )
        _run_in_bulk(searcher, settings, pool, num_samples, callbacks, streak)
        return streak.verdict
    if not keeps_all(given):
        callbacks.insert(0, KeepBest(searcher, path))
    scheduler = strategy.scheduler(searcher.goal.first, settings.max_fidelity) or FIFOScheduler()
    spare_baseline(scheduler, searcher, settings.max_fidelity)
    stop = StopCriteria(given.stop, end_now=lambda: bool(fail_fast and streak.verdict))
    check = ReportCheck(searcher, settings)
    search_alg = ArchivedSearch(
        searcher,
        scheduler,
        num_samples=num_samples,
        max_concurrent=room,
        check=lambda result: stop.failure or check(result),
        watch=stop.replay,
        streak=streak,
        resumes_after_errors=settings.resumes_after_errors,
    )
    if max_trial_seconds is not None:
        callbacks.append(TimeLimit(max_trial_seconds, searcher.archive))
    cls = settings.trainable(searcher.space, wanted(searcher))
    tuner = tune.Tuner(
        cls,
        tune_config=tune.TuneConfig(search_alg=search_alg, scheduler=scheduler, num_samples=-1, reuse_actors=True),
        run_config=for_tune(given, path, cls, stop, callbacks),
    )
    is_quiet = not shows_tune(given)  # asked here, since Tune's default of ``verbose`` depends on the environment
    with environment(FAST_SETTINGS), quiet_tune(is_quiet), terminate_as_interrupt():
        _fit(tuner, search_alg, stop)
    if stop.ended_search:
        for trial, result in stop.met.items():  # Tune tells of none that it stops together with the search
            searcher.on_trial_complete(trial, result)
        searcher.ended_because = "stop of the run config ended the search"
    if isinstance(fail_fast, str) and streak.verdict:
        raise RaynasError(streak.verdict)
    return streak.verdict


def _fit(tuner: tune.Tuner, search_alg: ArchivedSearch, stop: StopCriteria) -> None:
    """Run to the end; what ends the search before is raised as it is, however Tune words or hides it."""
    archive = search_alg.searcher.archive
    try:
        tuner.fit()
    except Exception:
        if archive.failure is None and search_alg.failure is None:
            raise
    if failure := archive.failure or search_alg.failure or stop.failure:
        # Tune cleans up after itself only at an orderly end. Its actors and placement groups, which no other search of
        # this process could use, go with the objects that the traceback still holds.
        failure.__traceback__ = failure.__context__ = None
        gc.collect()
        raise failure


def _run_in_bulk(
    searcher: ArchitectureSearcher,
    settings: TrialSettings,
    pool: ActorPool,
    num_samples: int,
    callbacks: list[tune.Callback],
    streak: FailureStreak,
) -> None:
    with pool, terminate_as_interrupt():
        search_in_bulk(
            searcher,
            pool,
            num_samples=num_samples,
            bulk_size=settings.bulk_size,
            callbacks=callbacks,
            check=ReportCheck(searcher, settings),
            streak=streak,
        )
