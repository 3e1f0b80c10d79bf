"""run_trials(): the trials of a search, on Tune, whose ``Tuner`` is built here alone, or in bulk by actors."""

import gc
from pathlib import Path

from ray import tune
from ray.tune.schedulers import FIFOScheduler

from raynas.core.searcher import ArchitectureSearcher
from raynas.errors import RaynasError
from raynas.metrics.table import COUNTED
from raynas.run.asked import ReportCheck, wanted
from raynas.run.bulk_search import search_in_bulk
from raynas.run.checkpoint_retention import KeepBest
from raynas.run.checkpoints import Checkpoints, LocalCheckpoints
from raynas.run.cluster import start_ray
from raynas.run.environment import FAST_SETTINGS, environment, quiet_tune, terminate_as_interrupt
from raynas.run.failure_streak import FailureStreak
from raynas.run.node_check import check_nodes
from raynas.run.resources import Room
from raynas.run.resume import ArchivedSearch
from raynas.run.run_config import check_bulk, for_tune, keeps_all, shows_tune
from raynas.run.run_settings import RunSettings
from raynas.run.score_many import pool_for
from raynas.run.spared_baseline import spare_baseline
from raynas.run.stop_criteria import StopCriteria
from raynas.run.time_limit import TimeLimit
from raynas.run.trial_order import choose_among_live
from raynas.strategies import Strategy
from raynas.strategies.schedulers.scored import rank_by_score
from raynas.trials.settings import TrialSettings
from raynas.views.progress import ProgressCallback
from raynas.views.report.live import ReportCallback
from raynas.views.tensorboard import TensorBoardCallback
from raynas.views.trackers import TrackerCallback


def run_trials(
    searcher: ArchitectureSearcher,
    settings: TrialSettings,
    strategy: Strategy,
    run: RunSettings,
    path: Path,
    checkpoints: Checkpoints | None = None,
) -> str:
    """Run the trials that a search still lacks, to its end or until it is interrupted.

    Args:
        searcher: proposes and records; already replayed.
        settings: the way of scoring.
        strategy: gives the scheduler.
        run: how trials run.
        path: the search's folder.
        checkpoints: those of the trials; by default in that folder.

    Returns:
        The reason why it ended before its number of trials; "" if it did not, or if the searcher knows it.

    Raises:
        ArchiveError: if an event cannot be recorded.
        RaynasError: if the cluster has no room for a trial, a disk is full, or a trial failed and fail_fast of the run
            config is "raise".
        ValueError: if the search is in bulk and asks for something that only Tune's trials can give.
    """
    if settings.bulk_size:
        check_bulk(run.run_config, strategy.early_stopping)
    start_ray()
    checkpoints = checkpoints or LocalCheckpoints(path)
    check_nodes(settings.bundles, None if settings.bulk_size else checkpoints.place)
    callbacks: list[tune.Callback] = []
    if run.tensorboard:
        callbacks.append(TensorBoardCallback(searcher, path / "tensorboard"))
    callbacks += [TrackerCallback(searcher, path, tracker) for tracker in run.trackers]
    if run.live_report:
        callbacks.append(ReportCallback(searcher, path))
    if run.progress:
        callbacks.append(ProgressCallback(searcher, run.num_samples))
    fail_fast = run.run_config.failure_config.fail_fast if run.run_config.failure_config else False
    streak = FailureStreak(run.max_failures_in_a_row)
    if fail_fast:
        streak = FailureStreak(1, "fail_fast is set", ends_running=True)
    if settings.bulk_size:
        _run_in_bulk(searcher, settings, run, callbacks, streak)
    else:
        _run_on_tune(searcher, settings, strategy, run, path, checkpoints, callbacks, streak)
    if fail_fast == "raise" and streak.verdict:
        raise RaynasError(streak.verdict)
    return streak.verdict


def _run_on_tune(
    searcher: ArchitectureSearcher,
    settings: TrialSettings,
    strategy: Strategy,
    run: RunSettings,
    path: Path,
    checkpoints: Checkpoints,
    callbacks: list[tune.Callback],
    streak: FailureStreak,
) -> None:
    room = Room(settings.bundles, run.max_concurrent)
    stop = StopCriteria(run.run_config.stop, end_now=lambda: streak.ends_what_runs)
    if not keeps_all(run.run_config):
        callbacks.insert(0, KeepBest(searcher, checkpoints, n_repeated=run.repeats.top if run.repeats else 0))
    if run.max_trial_seconds is not None:
        callbacks.append(TimeLimit(run.max_trial_seconds, searcher.archive))
    scheduler = strategy.scheduler(searcher.goal.first, settings.max_fidelity) or FIFOScheduler()
    rank_by_score(scheduler, searcher)
    spare_baseline(scheduler, searcher, settings.max_fidelity)
    choose_among_live(scheduler)
    check = ReportCheck(searcher, settings)
    search_alg = ArchivedSearch(
        searcher,
        scheduler,
        num_samples=run.num_samples,
        max_concurrent=room,
        check=lambda result: stop.failure or check(result),
        watch=stop.replay,
        streak=streak,
        resumes_after_errors=settings.resumes_after_errors,
        checkpoints=checkpoints,
    )
    cls = settings.trainable(searcher.space, wanted(searcher))
    reuses_actors = cls.reset_config is not tune.Trainable.reset_config  # a class of the user's may not have it
    tuner = tune.Tuner(
        cls,
        tune_config=tune.TuneConfig(
            search_alg=search_alg, scheduler=scheduler, num_samples=-1, reuse_actors=reuses_actors
        ),
        run_config=for_tune(run.run_config, path, cls, stop, callbacks),
    )
    is_quiet = not shows_tune(run.run_config)  # asked here, since Tune's default of ``verbose`` depends on variables
    with environment(FAST_SETTINGS), quiet_tune(is_quiet), terminate_as_interrupt():
        _fit(tuner, search_alg, stop)
    if stop.ended_search:
        for trial, result in stop.met.items():  # Tune tells of none that it stops together with the search
            searcher.on_trial_complete(trial, result)
        searcher.ended_because = "stop of the run config ended the search"


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
    run: RunSettings,
    callbacks: list[tune.Callback],
    streak: FailureStreak,
) -> None:
    pool = pool_for(
        searcher.space,
        settings,
        wanted(searcher),
        counted=COUNTED,
        workers=run.max_concurrent,
        max_seconds=run.max_trial_seconds,
    )
    with pool, terminate_as_interrupt():
        search_in_bulk(
            searcher,
            pool,
            num_samples=run.num_samples,
            bulk_size=settings.bulk_size,
            callbacks=callbacks,
            check=ReportCheck(searcher, settings),
            streak=streak,
        )
