"""search(): from what a user asks for to what was found."""

import inspect
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

from raynas.core.archive import Archive
from raynas.core.cost_limits import Costs
from raynas.core.goal import Constraint, Goal, Objective
from raynas.core.result import SearchResult
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.errors import ArchiveError, InfeasibleError
from raynas.metrics import read_goal
from raynas.run.tuner import Run
from raynas.strategies import ByBudget, Strategy
from raynas.trials.function import Function
from raynas.trials.settings import TrialSettings

PROBES = 200
"""How many random architectures are tried before a search is refused as infeasible."""

MIN_FREE_BYTES = 100 * 2**20
"""A results folder with less free space than this is refused before anything is computed."""


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
        strategy: default ``ByBudget()``, a Gaussian process for up to some hundred trials.
        objectives: one or several metrics, e.g. ``"accuracy"``, ``["accuracy", "latency_ms"]``, ``"min:my_metric"``.
        constraints: e.g. ``"latency_ms <= 0.9 * baseline"``; see ``Constraint``.
        num_samples: how many trials the search has in the end, over all runs.
        seed: of the strategy; one trial at a time makes the search reproducible.
        hyperparameters: Tune domains searched jointly, e.g. ``{"lr": tune.loguniform(1e-3, 1e-1)}``.
        baseline: the architecture that relative constraints refer to.
        points_to_evaluate: architectures to try first.
        max_concurrent: how many trials, or actors that score in bulk, at a time; default as many as the cluster has
            room for.
        progress: whether to show a live table.
        tensorboard: whether to write TensorBoard logs.
        run_config: Tune's; its ``name`` and ``storage_path`` (by default ``~/ray_results``) say where everything lies.

    Returns:
        What was found so far, also after an interrupt.

    Raises:
        ArchiveError: if the results folder cannot be written, or holds a search of something else.
        InfeasibleError: if no architecture meets the constraints that need no training.
        ValueError: if an argument cannot be read.
    """
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    strategy = strategy or ByBudget()
    settings = as_settings(trainable)
    asked = read_goal(objectives, constraints)
    settings.check_metrics(asked.names)
    costs = settings.costs(space)
    path = results_path(run_config, f"{space.name}-{type(strategy).__name__}")
    archive = _open_archive(path)
    try:
        known = _baseline_costs(archive, asked, space, baseline, costs)
        goal = asked.against(known)
        strategy = strategy.for_budget(_first_budget(archive, num_samples))
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
            Run(
                searcher=searcher,
                settings=settings,
                strategy=strategy,
                num_samples=num_samples,
                max_concurrent=max_concurrent,
                path=path,
                run_config=run_config,
                progress=progress,
                tensorboard=tensorboard,
            ).run()
        return _result(space, searcher, path, num_samples)
    finally:
        archive.close()


def as_settings(trainable: Any) -> TrialSettings:
    """The settings that a user's way of scoring stands for; see ``search``.

    Raises:
        TypeError: if it is none.
    """
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
    arch = space.point(baseline)
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


def results_path(run_config: tune.RunConfig | None, default_name: str) -> Path:
    """The folder that a run config names.

    Raises:
        ArchiveError: if it is not in a file system.
    """
    given = run_config or tune.RunConfig()
    storage = str(given.storage_path)
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


def _first_budget(archive: Archive, num_samples: int) -> int:
    """How many trials the search was to have when it began: what a strategy makes of it must outlast an extension."""
    budget = num_samples
    for record in archive:
        if record["event"] == "proposed":
            return budget
        if record["event"] == "session":
            budget = int(record["num_samples"])
    return num_samples


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
