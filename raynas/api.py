"""search(): the only place where a ``tune.Tuner`` is built."""

import inspect
import logging
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler

from raynas.archive import Archive
from raynas.archived_search import ArchivedSearch
from raynas.errors import ArchiveError, InfeasibleError, RaynasError
from raynas.keep_best import KeepBest
from raynas.objective import Constraint, Goal, Objective
from raynas.progress import ProgressCallback
from raynas.result import SearchResult
from raynas.searcher import ArchitectureSearcher, Costs
from raynas.space import SearchSpace
from raynas.strategies import RegularizedEvolution, Strategy
from raynas.tensorboard import TensorBoardCallback
from raynas.trials.base import TrialSettings
from raynas.trials.function import Function

PROBES = 200
"""How many random architectures are tried before a search is refused as infeasible."""

MIN_FREE_BYTES = 100 * 2**20
"""A results folder with less free space than this is refused before anything is computed."""

FAST_SETTINGS = {
    # Tune's own CSV, JSON and TensorBoard loggers write three files a trial; the archive and one writer replace them.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Tune rewrites its whole state, 9.5 KB a trial, every 10 s; nothing here restores from it.
    "TUNE_GLOBAL_CHECKPOINT_S": "600",
    # Tune's new output prints a banner even at verbose=0.
    "RAY_AIR_NEW_OUTPUT": "0",
}
"""Environment of the driver while a search runs; what the user has set stays."""


def search(
    space: SearchSpace,
    trainable: "TrialSettings | type[tune.Trainable] | Callable[..., Any]",
    strategy: Strategy | None = None,
    *,
    objectives: str | Objective | Sequence[str | Objective] = "accuracy",
    constraints: str | Constraint | Sequence[str | Constraint] = (),
    num_samples: int = 50,
    seed: int = 0,
    hyperparameters: Mapping[str, Any] | None = None,
    baseline: Mapping[str, Any] | None = None,
    points_to_evaluate: Sequence[Mapping[str, Any]] = (),
    max_concurrent: int | None = None,
    progress: bool = True,
    tensorboard: bool = True,
    run_config: tune.RunConfig | None = None,
) -> SearchResult:
    """Search a space with Ray Tune; run again with the same name, it goes on where it was.

    A finished search is extended by a larger ``num_samples``. Strategy and seed may change between runs: what was
    evaluated is then a warm start.

    Args:
        space: what to search.
        trainable: how an architecture is scored: settings such as ``Training(data="digits")``, a function
            ``fn(model, config)`` that returns or yields metrics, or a ``tune.Trainable`` that reads ``config["arch"]``.
        strategy: default ``RegularizedEvolution()``.
        objectives: one or several metrics, e.g. ``"accuracy"``, ``["accuracy", "latency_ms"]``, ``"min:my_metric"``.
        constraints: e.g. ``"latency_ms <= 0.9 * baseline"``; see ``Constraint``.
        num_samples: how many trials the search has in the end, over all runs.
        seed: of the strategy; one trial at a time makes the search reproducible.
        hyperparameters: Tune domains searched jointly, e.g. ``{"lr": tune.loguniform(1e-3, 1e-1)}``.
        baseline: the architecture that relative constraints refer to.
        points_to_evaluate: architectures to try first.
        max_concurrent: how many trials at a time; default as many as the cluster has room for.
        progress: whether to show a live table.
        tensorboard: whether to write TensorBoard logs.
        run_config: Tune's; its ``name`` and ``storage_path`` (default ``results``) say where everything lies.

    Returns:
        What was found so far, also after an interrupt.

    Raises:
        ArchiveError: if the results folder cannot be written, or holds a search of something else.
        InfeasibleError: if no architecture meets the constraints that need no training.
        ValueError: if an argument cannot be read.
    """
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    strategy = strategy or RegularizedEvolution()
    settings = _as_settings(trainable)
    asked = Goal.parse(objectives, constraints)
    costs = settings.costs(space)
    path = _results_path(run_config, f"{space.name}-{type(strategy).__name__}")
    archive = _open_archive(path)
    try:
        known = _baseline_costs(archive, asked, space, baseline, costs)
        goal = asked.against(known)
        searcher = strategy.searcher(
            space,
            goal,
            seed=seed,
            hyperparameters=hyperparameters,
            costs=costs,
            points_to_evaluate=points_to_evaluate,
            baseline=baseline,
            archive=archive,
        )
        session = {"strategy": repr(strategy), "seed": seed, "num_samples": num_samples, "baseline": known}
        check_feasible(searcher, seed)
        _start_session(archive, searcher.space, asked, settings, session)
        searcher.replay(archive)
        if archive.unfinished() or len(archive.events("proposed")) < num_samples:
            _run(searcher, settings, strategy, num_samples, max_concurrent, path, run_config, progress, tensorboard)
        return _result(space, searcher, path, num_samples)
    finally:
        archive.close()


def _run(
    searcher: ArchitectureSearcher,
    settings: TrialSettings,
    strategy: Strategy,
    num_samples: int,
    max_concurrent: int | None,
    path: Path,
    run_config: tune.RunConfig | None,
    progress: bool,
    tensorboard: bool,
) -> None:
    """Let Tune run the trials that are left."""
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    max_concurrent = max_concurrent or _room(settings.resources)
    scheduler = strategy.scheduler(searcher.goal.first, settings.max_fidelity) or FIFOScheduler()
    search_alg = ArchivedSearch(searcher, scheduler, num_samples=num_samples, max_concurrent=max_concurrent)
    callbacks: list[tune.Callback] = [KeepBest(searcher, path)]
    if tensorboard:
        callbacks.append(TensorBoardCallback(searcher, path / "tensorboard"))
    if progress:
        callbacks.append(ProgressCallback(searcher, num_samples))
    cls = settings.trainable(searcher.space, [o.metric for o in searcher.goal.objectives])
    tuner = tune.Tuner(
        cls,
        tune_config=tune.TuneConfig(search_alg=search_alg, scheduler=scheduler, num_samples=-1, reuse_actors=True),
        run_config=_run_config(run_config, path, cls, callbacks),
    )
    variables = {**FAST_SETTINGS, "TUNE_MAX_PENDING_TRIALS_PG": str(max_concurrent)}
    with _environment(variables), _quiet_tune(), _terminate_as_interrupt():
        _fit(tuner, searcher.archive)


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


def _as_settings(trainable: Any) -> TrialSettings:
    if isinstance(trainable, TrialSettings):
        return trainable
    if inspect.isclass(trainable) and issubclass(trainable, tune.Trainable):
        return ClassSettings(trainable)
    if callable(trainable):
        return Function(fn=trainable)
    raise TypeError(
        "trainable must be settings such as Training(...), a function fn(model, config) or a tune.Trainable class, "
        f"got {trainable!r}"
    )


@dataclass(frozen=True)
class ClassSettings(TrialSettings):
    """A Trainable class of the user's own, as it is; how many reports it gives is not known."""

    cls: type[tune.Trainable]

    def trainable(self, space: SearchSpace, metrics: Sequence[str] = ("accuracy",)) -> type[tune.Trainable]:
        return self.cls

    @property
    def max_fidelity(self) -> int:
        return 100


def _baseline_costs(
    archive: Archive, goal: Goal, space: SearchSpace, baseline: Mapping[str, Any] | None, costs: Costs
) -> dict[str, float]:
    """The baseline's metrics that relative constraints need and that need no training.

    What an earlier session measured stays: a latency measured again would move the limit under the search's feet.
    """
    relative = [c.metric for c in goal.constraints if c.relative]
    if relative and baseline is None:
        raise ValueError(f"a constraint on {relative[0]!r} refers to the baseline, an architecture that is not given")
    if not relative or baseline is None:
        return {}
    if archive.events("proposed"):
        return dict(archive.events("session")[-1]["baseline"])
    arch = space.from_config(baseline if "arch" in baseline else {"arch": baseline})
    return {metric: float(costs[metric](arch)) for metric in relative if metric in costs}


def check_feasible(searcher: ArchitectureSearcher, seed: int) -> None:
    """Make sure that random architectures can meet the constraints that need no training.

    Raises:
        InfeasibleError: if none of ``PROBES`` does; names the constraint, the share and the closest value seen.
    """
    rng = np.random.default_rng(seed)
    limits = [c for c in searcher.goal.hard if not c.relative and c.metric in searcher.costs]
    if not limits:
        return
    points = (searcher.space.sample(rng) for _ in range(PROBES))
    seen = []
    for point in points:
        metrics = {c.metric: float(searcher.costs[c.metric](searcher.space.architecture(point))) for c in limits}
        if not any(c.violation(metrics) for c in limits):
            return
        seen.append(metrics)
    for constraint in limits:
        values = sorted((m[constraint.metric] for m in seen), reverse=constraint.op == ">=")
        if constraint.violation({constraint.metric: values[0]}):
            raise InfeasibleError(
                f"none of {PROBES} random architectures meets {constraint}; the closest has "
                f"{constraint.metric} = {values[0]:g}: loosen it or choose a smaller space"
            )
    raise InfeasibleError(
        f"none of {PROBES} random architectures meets all of {', '.join(map(str, limits))} at once: loosen one of them"
    )


def _results_path(run_config: tune.RunConfig | None, default_name: str) -> Path:
    given = run_config or tune.RunConfig()
    storage = str(given.storage_path or "results")
    if re.match(r"\w+://", storage):
        raise ArchiveError(
            f"the archive needs a folder that every node can see, got {storage!r}: give a path on a shared file system"
        )
    return Path(storage).expanduser().resolve() / (given.name or default_name)


def _open_archive(path: Path) -> Archive:
    archive = Archive(path / "archive.jsonl")
    free = shutil.disk_usage(path).free
    if free < MIN_FREE_BYTES:
        raise ArchiveError(f"{path} has {free / 2**20:.0f} MiB left on its disk; free some or choose another folder")
    return archive


def _start_session(
    archive: Archive, space: SearchSpace, goal: Goal, settings: TrialSettings, session: Mapping[str, Any]
) -> None:
    """Refuse to mix two searches, then record who searches now."""
    now = {
        "space": f"{space.name} {space.fingerprint}",
        "trainable": settings.description,
        "objectives": [f"{o.mode}:{o.metric}" for o in goal.objectives],
        "constraints": [str(c) for c in goal.constraints],
    }
    # A session that never got to a trial, because of a mistake in the call, binds nobody.
    for earlier in archive.events("session")[-1:] if archive.events("proposed") else ():
        for what, value in now.items():
            if earlier[what] != value:
                raise ArchiveError(
                    f"{archive.path} holds a search with {what} {earlier[what]}, this one has {value}; "
                    "choose another name, or run with the same settings to continue"
                )
    archive.append("session", **now, **session)


def _room(resources: Mapping[str, float]) -> int:
    """How many trials the cluster can run at a time."""
    total = ray.cluster_resources()
    names = {"cpu": "CPU", "gpu": "GPU"}
    rooms = [int(total.get(names.get(name, name), 0) // n) for name, n in resources.items() if n > 0]
    if rooms and min(rooms) < 1:
        raise RaynasError(f"no node has room for a trial, which needs {dict(resources)}; the cluster has {total}")
    return min(rooms, default=1)


def _result(space: SearchSpace, searcher: ArchitectureSearcher, path: Path, num_samples: int) -> SearchResult:
    archive = searcher.archive
    missing = len(archive.events("proposed")) < num_samples and not searcher.ended_because
    return SearchResult(
        space=space,
        goal=searcher.goal,
        archive=archive,
        path=path,
        ended_because=searcher.ended_because,
        interrupted=missing or bool(archive.unfinished()),
    )


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
