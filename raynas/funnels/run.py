"""funnel(): zero-cost scores for many, little training for some, full training for few.

The multi-fidelity screening of Mellor et al. (ICML 2021, "NAS without training") and Abdelfattah et al. (ICLR 2021,
"Zero-cost proxies for lightweight NAS"), with as many stages as wanted, each an ordinary search.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune
from rich.console import Console
from rich.text import Text
from torch import nn

from raynas.analysis import RankCorrelation, rank_correlation
from raynas.core.architecture import Architecture
from raynas.core.goal import Constraints, Goal, Objectives
from raynas.core.result import SearchResult
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.files.inside import refuse_links
from raynas.funnels.report import after, before, draw, write
from raynas.funnels.result import FunnelResult, StageResult
from raynas.funnels.stage import FunnelStage, Listed, check_stages, survivors
from raynas.metrics import Metrics, read_goal
from raynas.run.baseline import Baseline, check_baseline, read_baseline
from raynas.run.on_change import OnChange
from raynas.run.report import report, title_of
from raynas.run.results_folder import earlier_records, results_place, upload_files
from raynas.run.search import search
from raynas.strategies import RandomSearch, Strategy
from raynas.views.trackers import Trackers, as_trackers


def funnel(
    space: SearchSpace,
    stages: Sequence[FunnelStage],
    strategy: Strategy | None = None,
    *,
    objectives: Objectives = "accuracy",
    constraints: Constraints = (),
    metrics: Metrics = (),
    seed: int = 0,
    baseline: Baseline | None = None,
    max_concurrent: int | None = None,
    generation_size: int | None = None,
    max_trial_seconds: float | None = None,
    retry_failed: bool = False,
    on_change: OnChange = "refuse",
    max_failures_in_a_row: int | None = 10,
    progress: bool = True,
    tensorboard: bool = True,
    trackers: Trackers = (),
    leave_report: bool = True,
    run_config: tune.RunConfig | None = None,
) -> FunnelResult:
    """Score many architectures cheaply, the best of them better, and so on; a run with the same name continues it.

    Each stage is a search with its own folder, such as ``results/NAME/2-train``, archive and TensorBoard logs. The best
    evaluations enter the next stage, except those that failed, were stopped early or break a hard constraint; of
    architectures that compute the same function, one does. Larger numbers extend a funnel: evaluations of an earlier
    run stay candidates. A stage trains from scratch, because learning rate schedules depend on their length.

    ::

        found = raynas.funnel(
            NASBench201(),
            [
                FunnelStage(ZeroCost(data="cifar10"), n=1000),
                FunnelStage(Training(data="cifar10", epochs=2), n=60),
                FunnelStage(Training(data="cifar10", epochs=30), n=8),
            ],
        )
        print(found.best())

    Args:
        space: the space to search.
        stages: at least two, each with at most as many architectures as the one before.
        strategy: proposes the first stage's; default ``RandomSearch()``.
        objectives: the goal of the funnel; a stage may be ranked by others.
        constraints: limits. Those on metrics that need no training hold in every stage, the others in the last.
        metrics: metrics to measure and show in every stage besides, by name, or your own; see ``raynas.search``. The
            objectives of a stage name your own with a direction, as in ``"min:energy_mj"``.
        seed: of the strategy.
        baseline: what relative constraints refer to; see ``raynas.search``. An architecture enters every stage, also if
            it is not among the best.
        max_concurrent: largest number of trials, or of actors that score in bulk, at a time.
        generation_size: see ``raynas.search``.
        max_trial_seconds: time of a trial after which it has failed; None for no limit.
        retry_failed: as in ``raynas.search``, for every stage; so are the next two.
        on_change: "refuse", "continue" or "warm_start".
        max_failures_in_a_row: number of failures in a row with one reason that end a stage.
        progress: whether to print a line before and after each stage, and a live table between.
        tensorboard: whether to write TensorBoard logs.
        trackers: experiment trackers, to which each stage is a search; see ``raynas.search``.
        leave_report: whether to write, besides the summary of the stages, that of the last one, with plots and the best
            architecture with its weights.
        run_config: Tune's; its ``name`` and ``storage_path`` (by default ``~/ray_results``) name its folder.

    Returns:
        The findings so far, also after an interrupt.

    Raises:
        ArchiveError: if the folder cannot be written, or a stage's folder holds a search of something else.
        InfeasibleError: if no architecture meets the constraints that need no training.
        RaynasError: if a stage leaves nothing for the next; counts the ends of its trials.
        ValueError: if an argument cannot be read.
    """
    goals = check_stages(stages, read_goal(objectives, constraints, metrics))
    reference = read_baseline(baseline, space, goal=goals[-1])
    given = baseline if isinstance(baseline, nn.Module) else None
    check_baseline(goals[-1], reference)
    run_config = run_config or tune.RunConfig()
    run_config = dataclasses.replace(run_config, name=run_config.name or f"{space.name}-funnel")
    path = results_place(run_config, "").path
    refuse_links(path)
    plan = _Plan(
        space=space,
        stages=tuple(stages),
        goals=goals,
        strategy=strategy or RandomSearch(),
        baseline=reference.arch if reference and reference.config else given,
        path=path,
        run_config=run_config,
        leaves_report=leave_report,
        console=Console(quiet=not progress),
        common={
            "seed": seed,
            "max_concurrent": max_concurrent,
            "generation_size": generation_size,
            "max_trial_seconds": max_trial_seconds,
            "retry_failed": retry_failed,
            "on_change": on_change,
            "max_failures_in_a_row": max_failures_in_a_row,
            "progress": progress,
            "tensorboard": tensorboard,
            "trackers": as_trackers(trackers),
        },
    )
    return plan.run()


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The arguments of a funnel, read and checked."""

    space: SearchSpace
    stages: tuple[FunnelStage, ...]
    goals: tuple[Goal, ...]
    strategy: Strategy
    baseline: Architecture | nn.Module | None
    path: Path
    run_config: tune.RunConfig
    leaves_report: bool
    console: Console
    common: Mapping[str, Any]

    def run(self) -> FunnelResult:
        done: list[StageResult] = []
        for number, stage in enumerate(self.stages, 1):
            points = [e.arch for e in done[-1].survivors] if done else []
            self._say(before(number, self.stages, self.goals[number - 1], len(points), self.strategy))
            result = self._search(number, points)
            done.append(self._judged(number, stage, len(points), result, done[-1] if done else None))
            found = FunnelResult(stages=tuple(done), path=self.path, interrupted=result.interrupted)
            write(found)
            self._say(after(done[-1]))
            if result.interrupted:
                break
            if not done[-1].survivors and not done[-1].is_last:
                raise RaynasError(
                    f"stage {number} of {len(self.stages)} left nothing for the next: {result.why_none}; "
                    f"change it, and remove {self._folder(number)} to run it again"
                )
        draw(found)
        if self.leaves_report and done[-1].is_last:
            self._report(done[-1])
        upload_files(results_place(self.run_config, ""))
        return found

    def _report(self, at: StageResult) -> None:
        title = f"{title_of(self.space, at.stage.settings, self.strategy)}, a funnel of {at.n_stages} stages"
        logs = self.path if self.common["tensorboard"] else None
        report(at.result, at.stage.settings, title, directory=self.path, logs=logs, progress=self.common["progress"])

    def _folder(self, number: int) -> Path:
        return self.path / f"{number}-{self.stages[number - 1].kind}"

    def _search(self, number: int, points: Sequence[Architecture]) -> SearchResult:
        """Run a stage as a search: the first by the strategy, the others of the survivors."""
        stage, goal = self.stages[number - 1], self.goals[number - 1]
        run_config = dataclasses.replace(self.run_config, name=f"{self.run_config.name}/{self._folder(number).name}")
        listed = [point for point in points if point != self.baseline]
        is_first = number == 1
        stopping = stage.early_stopping or (self.strategy.early_stopping if is_first else None)
        strategy = dataclasses.replace(self.strategy if is_first else Listed(), early_stopping=stopping)
        return search(
            self.space,
            stage.settings,
            strategy,
            objectives=goal.objectives,
            constraints=goal.constraints,
            metrics=[goal.metrics[name] for name in goal.watched],
            num_samples=stage.n if is_first else self._n_in_the_end(run_config, listed),
            baseline=self.baseline,
            points_to_evaluate=listed,
            leave_report=False,
            run_config=run_config,
            **self.common,
        )

    def _n_in_the_end(self, run_config: tune.RunConfig, listed: Sequence[Architecture]) -> int:
        """Count the trials of a stage, those of an earlier run with another number among them."""
        proposed = earlier_records(results_place(run_config, "")).events("proposed")
        known = {self.space.from_config(record["config"]) for record in proposed}
        return len(known.union(listed, [self.baseline] if isinstance(self.baseline, Architecture) else []))

    def _judged(
        self, number: int, stage: FunnelStage, n_candidates: int, result: SearchResult, earlier: StageResult | None
    ) -> StageResult:
        is_last = number == len(self.stages)
        evaluations = result.evaluations
        n = len(evaluations) if is_last else self.stages[number].n
        n_random, seed = 0 if is_last else self.stages[number].n_random, int(self.common["seed"])
        merges = all(len(goal.objectives) == 1 for goal in self.goals)
        judged = StageResult(
            number=number,
            n_stages=len(self.stages),
            stage=stage,
            n_candidates=n_candidates or len(evaluations),
            result=result,
            survivors=tuple(
                survivors(result.goal, evaluations, n, self.space, merges=merges, n_random=n_random, seed=seed)
            ),
        )
        return dataclasses.replace(judged, correlation=_correlation(earlier, judged) if earlier else None)

    def _say(self, text: str) -> None:
        self.console.print(Text(text), soft_wrap=True)


def _correlation(earlier: StageResult, later: StageResult) -> RankCorrelation:
    first, second = earlier.scores, later.scores
    both = [arch for arch in second if arch in first]
    return rank_correlation([first[arch] for arch in both], [second[arch] for arch in both])
