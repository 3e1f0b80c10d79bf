"""compress(): a trained model within limits: cheap scores of many members, distillation of few, then a decision.

Other tools rank pruned candidates before they recover. Here candidates are trained first, as far as early stopping lets
them, and the report says what each cheap score had told of the order after recovery.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ray import tune
from rich.console import Console
from rich.text import Text
from torch import nn

from raynas.compressing.effort import Effort
from raynas.compressing.limits import Settled, complies_with, drawn_within, read_settled, write_settled
from raynas.compressing.report import write
from raynas.compressing.result import Compressed
from raynas.compressing.uniform import uniform_member
from raynas.converting import ConvertedSpace, convert
from raynas.converting.options import Range
from raynas.core.architecture import Architecture
from raynas.core.beside import beside
from raynas.core.constraint import Constraint
from raynas.core.goal import Goal, Objective
from raynas.core.inputs import Inputs, InputSpec
from raynas.core.networks import EXPORT_FORMATS, ExportFormat
from raynas.core.one_network import GIVEN, OneNetwork
from raynas.core.result import SearchResult
from raynas.errors import InfeasibleError, SettingError
from raynas.files.inside import refuse_links
from raynas.funnels import FunnelResult, FunnelStage, funnel
from raynas.funnels.stage import Listed
from raynas.metrics import Metrics, read_goal
from raynas.run.on_change import OnChange
from raynas.run.repeats import Repeats
from raynas.run.results_folder import results_path
from raynas.run.score_many import score_many
from raynas.run.search import search
from raynas.strategies import Asha, ByBudget, EarlyStopping, Strategy
from raynas.trials import Distillation, Inherited
from raynas.views.trackers import Trackers, as_trackers

COMPARED, FINAL, EXPORT = "compared", "3-final", "export"
"""Folders of the members to compare with, inside that of the candidates, of the last training (with its epochs), and of
the files."""


def compress(
    model: nn.Module | ConvertedSpace,
    example_inputs: Inputs | None = None,
    *,
    constraints: str | Constraint | Sequence[str | Constraint],
    recovery: Distillation,
    objectives: str | Objective | Sequence[str | Objective] = "divergence",
    metrics: Metrics = (),
    screen: str = "divergence",
    effort: Effort | None = None,
    strategy: Strategy | None = None,
    early_stopping: EarlyStopping | None = None,
    repeats: Repeats | None = None,
    vary: Mapping[str, Range] | None = None,
    keep: Sequence[str] = (),
    divisor: int = 8,
    inputs: InputSpec | None = None,
    seed: int = 0,
    formats: Collection[ExportFormat] = EXPORT_FORMATS,
    max_concurrent: int | None = None,
    max_trial_seconds: float | None = None,
    retry_failed: bool = False,
    on_change: OnChange = "refuse",
    progress: bool = True,
    tensorboard: bool = True,
    trackers: Trackers = (),
    run_config: tune.RunConfig | None = None,
) -> Compressed:
    """Make a trained model smaller, keep what it can do; a call with the same name continues it.

    Members of ``raynas.convert(model)`` within the limits are scored with the weights that they inherit. The best, and
    some at random, are trained to predict what the model predicts; early stopping ends those that recover badly.
    One member of uniform width, and a few random ones, get the training of a candidate for comparison, and are
    candidates too. The best is exported, and checked in a process without raynas.

    ::

        found = raynas.compress(
            model, torch.rand(2, 3, 32, 32), recovery=Distillation(data="cifar10", epochs=9),
            constraints="macs <= 0.5 * baseline",
        )
        print(found)
        network = found.best_model()

    Args:
        model: a trained model, which is not changed; or a space that ``raynas.convert`` made of one.
        example_inputs: a batch of what the model takes; not with a space.
        constraints: limits, such as ``"latency_ms <= 0.5 * baseline"``; the baseline is the given model.
        recovery: the training of candidates: data, kind of outputs, epochs.
        objectives: metrics by which recovered members are chosen; any that ``Distillation`` reports.
        metrics: metrics to measure and show besides; zero-cost proxies among them are compared as cheap scores.
        screen: metric of ``Inherited`` by which members are chosen for recovery.
        effort: numbers of members and epochs.
        strategy: proposes the members that are scored with inherited weights; default ``ByBudget()``. With
            ``RandomSearch()`` the result is worse, and the report's rank correlations are those of the whole space.
        early_stopping: stops candidates that recover badly; default ``Asha()``.
        repeats: trains the best again with other seeds at the end.
        vary: what may vary, see ``raynas.convert``; not with a space.
        keep: what must not vary.
        divisor: reduced widths are multiples of it.
        inputs: description of the inputs; default that of the example.
        seed: of draws and of the strategy; that of the training is ``recovery.seed``.
        formats: forms in which the result is exported and checked, besides its weights; none for no export.
        max_concurrent: largest number of trials at a time.
        max_trial_seconds: time of a trial after which it has failed.
        retry_failed: see ``raynas.search``, as for the next five.
        on_change: "refuse", "continue" or "warm_start".
        progress: whether to print what happens.
        tensorboard: whether to write TensorBoard logs.
        trackers: experiment trackers.
        run_config: Tune's; its ``name`` and ``storage_path`` name the folder.

    Returns:
        The findings so far, also after an interrupt.

    Raises:
        InfeasibleError: if no member meets the limits; says what the smallest member has.
        RaynasError: if model, data and settings do not fit together.
        ValueError: if an argument cannot be read.
    """
    if isinstance(model, ConvertedSpace):
        if example_inputs is not None or vary is not None or keep:
            raise SettingError("a space is converted already: leave out example_inputs, vary and keep")
        space = model
    else:
        if example_inputs is None:
            raise SettingError("example_inputs is missing: give a batch of what the model takes")
        space = convert(model, example_inputs, vary=vary, keep=keep, divisor=divisor, inputs=inputs)
    path = results_path(run_config, f"{space.name}-compressed")
    refuse_links(path)
    plan = Compression(
        space=space,
        goal=read_goal(objectives, constraints, metrics),
        recovery=recovery,
        screen=screen,
        effort=effort or Effort(),
        strategy=strategy or ByBudget(),
        early_stopping=early_stopping or Asha(),
        repeats=repeats,
        seed=seed,
        path=path,
        formats=tuple(formats),
        run_config=run_config or tune.RunConfig(),
        console=Console(quiet=not progress),
        common={
            "max_concurrent": max_concurrent,
            "max_trial_seconds": max_trial_seconds,
            "retry_failed": retry_failed,
            "on_change": on_change,
            "progress": progress,
            "tensorboard": tensorboard,
            "trackers": as_trackers(trackers),
        },
    )
    return plan.run()


@dataclass(frozen=True, kw_only=True)
class Compression:
    """The arguments of a compression, read.

    Args:
        space: the converted space.
        goal: objectives, limits as the user wrote them, and metrics.
        recovery: the training of candidates.
        screen: metric by which members are chosen for it.
        effort: numbers of members and epochs.
        strategy: proposes members that are scored.
        early_stopping: of candidates.
        repeats: of the best at the end.
        seed: of draws.
        path: the folder.
        formats: forms in which the network is exported; none for no export.
        run_config: Tune's.
        console: shows what happens.
        common: further arguments of each search.
    """

    space: ConvertedSpace
    goal: Goal
    recovery: Distillation
    screen: str
    effort: Effort
    strategy: Strategy
    early_stopping: EarlyStopping
    repeats: Repeats | None = None
    seed: int = 0
    path: Path
    formats: tuple[ExportFormat, ...] = EXPORT_FORMATS
    run_config: tune.RunConfig
    console: Console
    common: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.recovery.check_goal(self.goal)
        self.inherited.check_goal(read_goal(self.screened_by, (), self.own_metrics))

    def run(self) -> Compressed:
        """Take all steps; each continues what an earlier run began.

        Raises:
            InfeasibleError: if no member meets the limits.
        """
        settled = self._settled()
        found = self._candidates(settled)
        done = Compressed(
            space=self.space,
            funnel=found,
            given=settled.given,
            path=self.path,
            recovery=self.recovery,
            uniform=Architecture(settled.uniform) if settled.uniform else None,
        )
        if found.interrupted:
            return done
        result = found.last
        if members := self._to_compare(settled):
            n, new = len(members), [arch for arch in members if not _has(result, arch)]
            self._say(
                f"For comparison, {n} members of uniform width or random ones are trained as long as a candidate that "
                f"is never stopped, {len(new) * self.recovery.epochs} epochs; n_compared=0 leaves them out"
            )
            compared = self._listed(new, self.recovery, found.last.path, COMPARED) if new else None
            if compared is not None:
                done = dataclasses.replace(done, compared=compared)
                if compared.interrupted:
                    return done
                result = beside(result, compared)
        done = dataclasses.replace(done, candidates=result)
        if self.effort.final_epochs:
            best = result.goal.sort(e for e in result.candidates if result.goal.violation(e) == 0)
            settings = dataclasses.replace(self.recovery, epochs=self.effort.final_epochs)
            archs = list(dict.fromkeys(e.arch for e in best))[: self.effort.n_final]
            self._say(f"At last, the best {len(archs)} from the start for {settings.epochs} epochs")
            done = dataclasses.replace(
                done, final=self._listed(archs, settings, self.path, f"{FINAL}-{settings.epochs}")
            )
        return self._finished(done)

    # --- steps -------------------------------------------------------------------------------------------------------

    def _settled(self) -> Settled:
        """Resolve the limits, once for all runs, and choose the members to compare with."""
        asked = [str(c) for c in self.goal.constraints]
        known = read_settled(self.path)
        if known is not None:
            if known.constraints != asked:
                raise SettingError(
                    f"{self.path} holds a compression with the limits {', '.join(known.constraints)}: choose another "
                    "name, or ask for the same"
                )
            return known
        profile = self.space.profile(self.goal.constraints, metrics=list(self.own_metrics))
        largest = profile.members["largest"]
        limits = [c.against(largest) for c in self.goal.constraints]
        if not profile.can_be_met:
            refused = "; ".join(str(verdict) for verdict in profile.verdicts if verdict.answer == "no")
            raise InfeasibleError(f"no member meets the limits ({refused}): loosen them, or let more of the model vary")
        if open_limits := [str(c) for c in limits if c.relative]:
            raise SettingError(
                f"{', '.join(open_limits)} refers to the given model, of which only a training gives that metric: "
                "write the limit as a number"
            )
        self._say(str(profile))
        goal = dataclasses.replace(self.goal, constraints=tuple(limits))
        costs = self.recovery.costs(self.space, goal.metrics)
        uniform, random = None, list[Architecture]()
        if self.effort.n_compared:
            uniform = uniform_member(self.space, lambda arch: complies_with(self.space, goal, costs, arch))
            known_members = {self.space.largest, *([uniform] if uniform else [])}
            random = drawn_within(
                self.space, goal, costs, self.effort.n_compared, seed=self.seed + 1, without=known_members
            )
        settled = Settled(
            constraints=asked,
            given={name: float(value) for name, value in largest.items()},
            limits=[str(c) for c in limits],
            uniform=dict(uniform) if uniform else None,
            random=[dict(arch) for arch in random],
        )
        write_settled(settled, self.path)
        return settled

    def _candidates(self, settled: Settled) -> FunnelResult:
        """Score many members with inherited weights, and train the candidates among them."""
        effort, size = self.effort, self.space.size
        n_scored = int(min(effort.n_scored, size))
        n = min(effort.n_candidates, n_scored)
        stages = [
            FunnelStage(self.inherited, n=n_scored, objectives=self.screened_by),
            FunnelStage(self.recovery, n=n, n_random=min(effort.n_random, n), early_stopping=self.early_stopping),
        ]
        return funnel(
            self.space,
            stages,
            self.strategy,
            objectives=self.goal.objectives,
            constraints=settled.limits,
            metrics=list(self.own_metrics),
            seed=self.seed,
            leave_report=False,
            run_config=dataclasses.replace(self.run_config, name=self.path.name, storage_path=str(self.path.parent)),
            **self.common,
        )

    def _to_compare(self, settled: Settled) -> list[Architecture]:
        members = [Architecture(each) for each in ([settled.uniform] if settled.uniform else []) + settled.random]
        return members[: self.effort.n_compared + 1] if self.effort.n_compared else []

    def _listed(self, archs: Sequence[Architecture], settings: Distillation, folder: Path, name: str) -> SearchResult:
        """Train members to the end of their epochs."""
        goal = dataclasses.replace(self.goal, constraints=())
        return search(
            self.space,
            settings,
            Listed(),
            objectives=goal.objectives,
            constraints=read_settled(self.path).limits,  # type: ignore[union-attr]
            metrics=list(self.own_metrics),
            num_samples=len(archs),
            points_to_evaluate=archs,
            seed=self.seed,
            repeats=self.repeats if name.startswith(FINAL) else None,
            leave_report=False,
            run_config=dataclasses.replace(self.run_config, name=name, storage_path=str(folder)),
            **self.common,
        )

    def _finished(self, done: Compressed) -> Compressed:
        """Examine, export and report what was found."""
        if done.interrupted:
            return done
        done = dataclasses.replace(done, before=self._before(done))
        best = done.goal.best(done.result.candidates)
        if best is not None:
            network = done.result.trained_model(best)
            given = self.recovery.teacher_of(self.space) if self.recovery.teacher else self.space.given
            tested = self._tested({"the given model": given, "the result": network})
            done = dataclasses.replace(done, on_test=tested, limits_met=self._measured(done.goal, network))
            if self.formats:
                exported = done.result.export(self.path / EXPORT, best, formats=self.formats)
                done = dataclasses.replace(done, exported=exported)
        write(done)
        self._say(f"\n{done}")
        return done

    def _before(self, done: Compressed) -> dict[Architecture, Mapping[str, float]]:
        """Score the members to compare with that the first stage did not."""
        known = {e.arch for e in done.funnel.stages[0].result.full}
        members = [e.arch for e in done.recovered if e.arch not in known]
        scored = score_many(self.space, members, self.inherited, metrics=list(self.own_metrics), workers=0)
        return {e.arch: e.metrics for e in scored if e.ok}

    def _tested(self, networks: Mapping[str, nn.Module]) -> dict[str, Mapping[str, float]]:
        """Return metrics on the test split, which nothing was chosen by."""
        return {name: self.recovery.tested(self.space, network) for name, network in networks.items()}

    def _measured(self, goal: Goal, network: nn.Module) -> dict[str, float]:
        """Measure the limited costs on the network itself, with its weights."""
        costs = self.recovery.costs(OneNetwork(network, self.space), goal.metrics)
        limited = {str(c): costs[c.metric] for c in goal.constraints if c.metric in costs}
        return {limit: float(cost(GIVEN)) for limit, cost in limited.items()}

    # --- settings ----------------------------------------------------------------------------------------------------

    @cached_property
    def inherited(self) -> Inherited:
        """The scores before recovery."""
        own = self.recovery
        return Inherited(recovery=own, seed=own.seed, device=own.device, gpus=own.gpus, n_threads=own.n_threads)

    @property
    def screened_by(self) -> Objective:
        """The metric that members are chosen by before recovery."""
        return Objective.parse(self.screen, self.goal.metrics)

    @property
    def own_metrics(self) -> Metrics:
        """The metrics that the user asks for besides objectives and limits."""
        return [self.goal.metrics[name] for name in self.goal.watched]

    def _say(self, text: str) -> None:
        self.console.print(Text(text), soft_wrap=True)


def _has(result: SearchResult, arch: Architecture) -> bool:
    return any(e.arch == arch for e in result.full)
