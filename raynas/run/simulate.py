"""Searches in simulated time: Tune's searcher and scheduler decide, the results of trials are known in advance."""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from raynas.core.architecture import Architecture
from raynas.core.goal import Constraints, Goal, Objectives
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.errors import DataError, RaynasError, SpaceError, UnknownNameError, one_line
from raynas.metrics import METRICS, Measurer, Metrics, read_goal
from raynas.run.asked import check_early_stopping, measurable
from raynas.run.baseline import Reference, check_baseline, read_baseline
from raynas.run.feasibility import check_feasible
from raynas.run.no_controller import NO_CONTROLLER
from raynas.run.trainables import as_strategy
from raynas.run.trajectory import Trajectory
from raynas.strategies import Strategy
from raynas.strategies.schedulers.scored import rank_by_score
from raynas.trials.progress import Config
from raynas.trials.settings import Cost
from raynas.trials.table import Table
from raynas.trials.tabular import Tabular
from raynas.validate import require, whole

Report = Mapping[str, Any]
"""Result of one epoch of a trial."""


class Simulation:
    """Trials that run side by side, each a list of results known in advance.

    Args:
        searcher: proposes architectures.
        answer: returns the results of a trial's config, oldest first; ``train_seconds`` in each is the time since its
            start, one per report where it is missing.
        scheduler: decides after each result but the last; None for no early stopping.
    """

    def __init__(
        self,
        searcher: ArchitectureSearcher,
        answer: Callable[[Config], Sequence[Report]],
        scheduler: TrialScheduler | None = None,
    ) -> None:
        self.searcher, self.answer, self.scheduler = searcher, answer, scheduler
        self.now = 0.0
        self.trained = 0.0
        self.n_started = 0
        self.ended: list[tuple[str, float, float]] = []
        self._events: list[tuple[float, int, str, int]] = []
        self._results: dict[str, Sequence[Report]] = {}
        self._trials: dict[str, Trial] = {}
        self._began: dict[str, float] = {}

    @property
    def n_running(self) -> int:
        """Number of trials that have not ended."""
        return len(self._results)

    def start(self) -> bool:
        """Start another trial; return False if the searcher proposes none."""
        trial = f"{self.n_started + 1:05d}"
        config = self.searcher.suggest(trial)
        if not isinstance(config, dict):
            return False
        self.n_started += 1
        self._results[trial], self._began[trial] = self.answer(config), self.now
        if self.scheduler:
            self._trials[trial] = Trial("raynas", trial_id=trial, config=config, stub=True)
            self.scheduler.on_trial_add(NO_CONTROLLER, self._trials[trial])
        self._expect(trial, 0)
        return True

    def advance(self) -> None:
        """Advance the time to the next result."""
        self.now, _, trial, i = heapq.heappop(self._events)
        result = self._results[trial][i]
        is_last = i + 1 == len(self._results[trial])
        if is_last or self._stops(trial, result):
            self._end(trial, result)
            return
        self.searcher.on_trial_result(trial, dict(result))
        self._expect(trial, i + 1)

    def _expect(self, trial: str, i: int) -> None:
        seconds = float(self._results[trial][i].get("train_seconds", i + 1))
        heapq.heappush(self._events, (self._began[trial] + seconds, self.n_started, trial, i))

    def _stops(self, trial: str, result: Report) -> bool:
        if not self.scheduler:
            return False
        decision = self.scheduler.on_trial_result(NO_CONTROLLER, self._trials[trial], dict(result))
        if decision not in (TrialScheduler.STOP, TrialScheduler.CONTINUE):
            raise RaynasError(f"{type(self.scheduler).__name__} pauses trials, which is not simulated; use Asha")
        return bool(decision == TrialScheduler.STOP)

    def _end(self, trial: str, result: Report) -> None:
        self.trained += self.now - self._began[trial]
        if self.scheduler and result.get("failed"):
            self.scheduler.on_trial_error(NO_CONTROLLER, self._trials[trial])
        elif self.scheduler:
            self.scheduler.on_trial_complete(NO_CONTROLLER, self._trials[trial], dict(result))
        self.searcher.on_trial_complete(trial, dict(result))
        self.ended.append((trial, self.now, self.trained))
        del self._results[trial]


def simulate(
    searcher: ArchitectureSearcher,
    answer: Callable[[Config], Sequence[Report]],
    n_trials: int,
    scheduler: TrialScheduler | None = None,
    *,
    n_workers: int = 1,
    seed: int = 0,
) -> Trajectory:
    """Run a whole search in simulated time.

    Args:
        searcher: a new one.
        answer: see ``Simulation``.
        n_trials: number of trials.
        scheduler: a new one; None for no early stopping.
        n_workers: number of trials that run at a time.
        seed: the seed to note in the trajectory.
    """
    simulation = Simulation(searcher, answer, scheduler)
    while True:
        while simulation.n_running < n_workers and simulation.n_started < n_trials and simulation.start():
            pass
        if not simulation.n_running:
            break
        simulation.advance()
    found = [searcher.evaluation_of(trial) for trial, _, _ in simulation.ended]
    return Trajectory(
        seed=seed,
        goal=searcher.goal,
        evaluations=tuple(e for e in found if e is not None),
        seconds=tuple(seconds for _, seconds, _ in simulation.ended),
        trained_seconds=tuple(trained for _, _, trained in simulation.ended),
    )


def drive(
    strategy: Strategy | None,
    table: Tabular | Table,
    space: SearchSpace,
    n: int,
    seeds: Iterable[int] = (0,),
    *,
    objectives: Objectives = "accuracy",
    constraints: Constraints = (),
    metrics: Metrics = (),
    baseline: Mapping[str, object] | str | Path | None = None,
    n_workers: int = 1,
) -> list[Trajectory]:
    """Run whole searches against a table, without a cluster and in simulated time.

    The evaluations are those of ``raynas.search`` on the same table. If the strategy stops trials early, it decides
    after each report, as in Tune.

    Args:
        strategy: the strategy; ``ByBudget()`` by default, as in ``raynas.search``.
        table: the settings of a table, or a table that is loaded already.
        space: the space to search.
        n: number of evaluations per search, those that were stopped early included; at least 1.
        seeds: one search for each.
        objectives: see ``Strategy.searcher``.
        constraints: see ``raynas.search``; metrics without a column are counted where shapes suffice.
        metrics: metrics of your own that need nothing but the shapes of a network, or names of metrics to report.
        baseline: the architecture that relative constraints refer to, as in ``raynas.search``; tried first.
        n_workers: number of trials that run at a time, in simulated time; at least 1.

    Raises:
        DataError: if the table cannot be read.
        InfeasibleError: if no architecture meets the constraints that need no training.
        RaynasError: if the early stopping is one that pauses trials.
        TypeError: if the strategy is none.
        UnknownNameError: if a metric has no column and cannot be counted.
        ValueError: if an argument cannot be read, or a constraint refers to a baseline that is not given.
    """
    n, n_workers = whole("n", n, 1), whole("n_workers", n_workers, 1)
    several = "seeds must be several, such as range(3) for three searches, or [3] for the one of seed 3"
    require(isinstance(seeds, Iterable) and not isinstance(seeds, str), several, seeds)
    strategy = as_strategy(strategy).for_budget(n)
    loaded = _loaded(table, space)
    goal = read_goal(objectives, constraints, [*metrics, *_read_by_scheduler(strategy, loaded, metrics)])
    reference = read_baseline(baseline, space, goal=goal)
    check_baseline(goal, reference)
    costs, measured = _costs(loaded, space, goal)
    check_early_stopping(strategy, loaded.values.keys() | measured.keys())
    goal = goal.against(_figures(goal, reference, costs))
    trajectories = []
    for seed in (whole("seed", seed, 0) for seed in seeds):
        first = reference.config if reference else None
        searcher = strategy.searcher(space, goal, seed=seed, costs=costs, baseline=first)
        check_feasible(searcher, seed)
        scheduler = strategy.scheduler(searcher.goal.first, len(loaded.fidelities))
        if scheduler is not None:
            rank_by_score(scheduler, searcher)
        trajectories.append(
            simulate(searcher, partial(_answers, loaded, measured), n, scheduler, n_workers=n_workers, seed=seed)
        )
    return trajectories


def _loaded(table: object, space: SearchSpace) -> Table:
    """Return the content of a table.

    Raises:
        SettingError: if it is none.
    """
    rule = "table must be Tabular(table='FILE.csv'), or what its load(space) gives"
    require(isinstance(table, Tabular | Table), rule, type(table).__name__)
    return table.load(space) if isinstance(table, Tabular) else table  # type: ignore[return-value]


def _read_by_scheduler(strategy: Strategy, table: Table, metrics: Metrics) -> list[str]:
    """Return names of metrics without a column that are counted because early stopping goes by them."""
    read = strategy.early_stopping.metrics if strategy.early_stopping else ()
    given = {metric if isinstance(metric, str) else metric.name for metric in metrics}
    return [name for name in read if name in measurable(Tabular, METRICS) and name not in {*given, *table.values}]


def _figures(goal: Goal, reference: Reference | None, costs: Mapping[str, Cost]) -> dict[str, float]:
    """Return what constraints relative to the baseline refer to, as far as it is known before its trial.

    Raises:
        RaynasError: if the baseline is a network, of which a table knows nothing.
    """
    relative = {constraint.metric for constraint in goal.constraints if constraint.relative}
    if reference and not reference.config:
        raise RaynasError(f"the baseline must be an architecture, which the table may hold, got {reference.name}")
    return {name: cost(reference.arch) for name, cost in costs.items() if name in relative} if reference else {}


def _costs(table: Table, space: SearchSpace, goal: Goal) -> tuple[dict[str, Cost], dict[str, Cost]]:
    """Return the metrics that are known before a trial, and those of them that are asked for and not in the table.

    Raises:
        UnknownNameError: if the table lacks a metric of the goal that shapes do not give.
    """
    counted = {name: metric for name, metric in goal.metrics.items() if metric.measure and metric.needs == "shapes"}
    for name in goal.asked:
        if name not in table.values and name not in counted:
            raise UnknownNameError("metric", name, table.values.keys() | counted.keys())
    listed = [name for name, metric in goal.metrics.items() if metric.measure and name in table.values]
    measured = Measurer(space).costs([counted[name] for name in goal.asked if name not in table.values])
    return {**{name: partial(table.value, name) for name in listed}, **measured}, measured


def _answers(table: Table, measured: Mapping[str, Cost], config: Config) -> list[dict[str, Any]]:
    """Return the results of a trial, as ``TabularTrial`` would report them."""
    try:
        arch = Architecture.from_config(config)
        costs = {name: cost(arch) for name, cost in measured.items()}
        reports = [{**report, **costs} for report in table.reports(arch)]
    except (DataError, SpaceError) as error:
        return [{"failed": 1, "error": one_line(error), "training_iteration": 0, "train_seconds": 0.0}]
    last = len(reports)
    return [{**r, "training_iteration": i, "complete": int(i == last)} for i, r in enumerate(reports, 1)]
