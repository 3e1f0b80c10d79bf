"""search(): from the arguments of a search to its result."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from ray import tune

from raynas.core.goal import Constraints, Objectives
from raynas.core.result import SearchResult
from raynas.core.space import SearchSpace
from raynas.metrics import Metrics
from raynas.run.baseline import Baseline
from raynas.run.circumstances import circumstances
from raynas.run.cluster import join_cluster
from raynas.run.feasibility import check_feasible
from raynas.run.finish import finish
from raynas.run.networks import TrialNetworks
from raynas.run.on_change import OnChange
from raynas.run.plan import SearchPlan
from raynas.run.repeats import Repeats
from raynas.run.report import announce, report
from raynas.run.results_folder import opened, results_place
from raynas.run.run_settings import RunSettings
from raynas.run.session import start_session
from raynas.run.so_far import is_open, result_so_far
from raynas.run.tracking import track_all
from raynas.run.trainables import Trainable
from raynas.run.tuner import run_trials
from raynas.run.warm_start import import_evaluations
from raynas.strategies import Strategy
from raynas.views.trackers import Trackers, as_trackers


def search(
    space: SearchSpace,
    trainable: Trainable,
    strategy: Strategy | None = None,
    *,
    objectives: Objectives = "accuracy",
    constraints: Constraints = (),
    metrics: Metrics = (),
    num_samples: int = 50,
    seed: int = 0,
    hyperparameters: Mapping[str, object] | None = None,
    baseline: Baseline | None = None,
    points_to_evaluate: Sequence[Mapping[str, object]] = (),
    warm_start: Sequence[str | Path] = (),
    max_concurrent: int | None = None,
    generation_size: int | None = None,
    max_trial_seconds: float | None = None,
    retry_failed: bool = False,
    on_change: OnChange = "refuse",
    max_failures_in_a_row: int | None = 10,
    tolerance: float | None = None,
    repeats: Repeats | None = None,
    progress: bool = True,
    tensorboard: bool = True,
    trackers: Trackers = (),
    leave_report: bool | Literal["live"] = True,
    run_config: tune.RunConfig | None = None,
) -> SearchResult:
    """Search a space with Ray Tune; a second run with the same name continues the first.

    A finished search is extended by a larger ``num_samples``. Strategy and seed may change between runs: earlier
    evaluations are then a warm start. If the code that is scored by changed (a function, what it calls in its package,
    settings, data), failed trials are tried again; if other trials had finished, ``on_change`` decides. A trial whose
    worker or node is lost fails only if that happens again and again.

    Args:
        space: the space to search.
        trainable: the way of scoring an architecture: settings such as ``Training(data="digits")``, a function
            ``fn(model, config)`` that returns or yields metrics (see ``raynas.trials.Function`` for what it may save),
            or a ``tune.Trainable`` that reads ``config["arch"]``.
        strategy: default ``ByBudget()``, a Gaussian process for up to some hundred trials.
        objectives: one or several metrics, e.g. ``"accuracy"``, ``["accuracy", "latency_ms"]``, ``"min:my_metric"``.
        constraints: e.g. ``"latency_ms <= 0.9 * baseline"``; see ``Constraint``.
        metrics: metrics to measure and show besides, by name, such as ``"latency_ms"``, or your own, such as
            ``Metric(name="energy_mj", mode="min", measure=energy)``: objectives and constraints may name them, and one
            of a known name replaces it. See ``Metric``.
        num_samples: number of trials that the search has in the end, over all runs.
        seed: of the strategy; ``generation_size``, or one trial at a time, makes the search reproducible.
        hyperparameters: Tune domains searched jointly, e.g. ``{"lr": tune.loguniform(1e-3, 1e-1)}``.
        baseline: what relative constraints refer to, and the views show: "default" for the first option of every
            decision, an architecture, or JSON of one, as text or in a file, which is tried first; or a network, which
            is measured, but not trained. By default relative constraints refer to the model that a space was made of.
        points_to_evaluate: architectures to try first.
        warm_start: folders of other searches of this space. The strategy learns from their evaluations, which count as
            no trials, and whose architectures may be evaluated again.
        max_concurrent: largest number of trials, or of actors that score in bulk, at a time; default as many as the
            cluster has room for, also while it grows.
        generation_size: number of proposals made at once, and observed in their order when all of their trials have
            ended: the search is then the same for any ``max_concurrent``, whichever trial is faster. By default the
            strategy proposes as soon as there is room, from all that is known then, which wastes no time.
        max_trial_seconds: time of a trial after which it has failed, counted over all runs that it is resumed in; also
            one in a loop that never returns. None for no limit.
        retry_failed: whether the failed trials of earlier runs are tried again though nothing changed.
        on_change: what to do with finished evaluations if what trials compute has changed since: "refuse" names the
            change and raises, "continue" keeps them, "warm_start" lets the strategy learn from them, but counts only
            new ones.
        max_failures_in_a_row: number of failures in a row with one reason that end the search; 0 or None for never.
        tolerance: difference of the first objective up to which the cheaper of two networks is chosen, see
            ``Goal.near_ties``; 0 for exact ties alone, by default one standard error, as far as it is known.
        repeats: trains the best again with other seeds at the end, ``Repeats(top=3, seeds=3)``; the winner is then
            chosen by the mean of these trainings. By default nothing is trained again.
        progress: whether to show a live table.
        tensorboard: whether to write TensorBoard logs.
        trackers: experiment trackers that get a run for the search and one for each trial, by name ("mlflow", "wandb")
            or as settings, see ``raynas.views.trackers``; ``raynas.track`` writes an earlier search to one.
        leave_report: whether to write ``report.html`` during the search, and at its end that, a summary, plots, and the
            best architecture with its weights into the folder; "live" leaves out what is written at the end.
        run_config: Tune's; its ``name`` and ``storage_path`` (by default ``~/ray_results``) name its folder. The name
            is by default made of the space, the script and its function (or the data), the strategy, and what is asked
            for if that is not accuracy alone. A storage such as ``"s3://bucket/path"``, or a path on
            ``storage_filesystem``, gets all that a run of the same call on another machine needs; the folder here is
            then a working copy of it.

    Returns:
        The findings so far, also after an interrupt.

    Raises:
        ArchiveError: if the results folder cannot be written or disappears, or holds a search of something else.
        BusyError: if another driver runs this search.
        InfeasibleError: if no architecture meets the constraints that need no training.
        RaynasError: if a disk is full; run the same call again when there is space.
        StorageError: if a storage cannot be reached.
        ValueError: if an argument cannot be read.
    """
    run = RunSettings(
        num_samples=num_samples,
        max_concurrent=max_concurrent,
        generation_size=generation_size,
        max_trial_seconds=max_trial_seconds,
        retry_failed=retry_failed,
        on_change=on_change,
        max_failures_in_a_row=max_failures_in_a_row,
        tolerance=tolerance,
        repeats=repeats,
        progress=progress,
        tensorboard=tensorboard,
        live_report=bool(leave_report),
        trackers=as_trackers(trackers),
        run_config=run_config or tune.RunConfig(),
    )
    plan = SearchPlan.read(
        space,
        trainable,
        strategy,
        objectives=objectives,
        constraints=constraints,
        metrics=metrics,
        seed=seed,
        hyperparameters=hyperparameters,
        baseline=baseline,
        points_to_evaluate=points_to_evaluate,
        tolerance=run.tolerance,
    )
    run.check(plan.strategy, plan.settings)
    join_cluster()
    settings = plan.settings
    place = results_place(run.run_config, plan.default_name)
    with opened(place) as (archive, checkpoints):
        plan = plan.begun(archive, run.num_samples)
        figures = plan.figures(archive)
        searcher = plan.searcher(archive, figures)
        searcher.generation_size = run.generation_size or 0
        if not archive.events("proposed"):
            announce(space, progress=progress)
        check_feasible(searcher, plan.seed)
        facts = plan.facts(figures) | circumstances(settings)
        start_session(archive, plan.identity(searcher.space), run, facts)
        import_evaluations(archive, warm_start, searcher.space, plan.goal)
        searcher.warm_start((e for e in archive.earlier_evaluations if e.ok), again=True)
        searcher.replay(archive)
        wants_trials = is_open(archive, run.num_samples)
        stopped = run_trials(searcher, settings, plan.strategy, run, place.path, checkpoints) if wants_trials else ""
        networks = TrialNetworks(space, settings, place.path, checkpoints)
        result = result_so_far(space, searcher, networks, run.num_samples, stopped)
        if not result.interrupted:
            finish(result, settings, run)
        if leave_report is True:
            logs = place.path / "tensorboard" if tensorboard else None
            report(result, settings, facts["title"], logs=logs, progress=progress)
        track_all(result, run.trackers)
        return result
